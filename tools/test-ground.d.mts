/** Prefix of every namespace, folder and hugepage file that tests make. */
export const PREFIX: string;
/** Ends what runs inside a namespace of ours, then removes it. */
export function removeNamespace(name: string): void;
/** Folders of hugepage files. */
export function hugepageFolders(): string[];
/** Removes what earlier runs left because they were killed. */
export function sweep(say?: (text: string) => void): Promise<void>;
/** What the kernel and the machine lack for the layers that use devices. Empty = nothing. */
export function missingFeatures(): string[];
