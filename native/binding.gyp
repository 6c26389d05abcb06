{
  "targets": [
    {
      "target_name": "dpvs",
      "sources": [
        "src/addon.cc",
        "src/args.cc",
        "src/doorbell.cc",
        "src/eal.cc",
        "src/engine.cc",
        "src/ethdev.cc",
        "src/flow.cc",
        "src/flow_rules.cc",
        "src/flow_table.cc",
        "src/flush.cc",
        "src/hints.cc",
        "src/layout_check.cc",
        "src/lcore.cc",
        "src/log.cc",
        "src/memory.cc",
        "src/names.cc",
        "src/poll.cc",
        "src/port_info.cc",
        "src/ports.cc",
        "src/system.cc",
        "src/threads.cc",
        "src/transmit.cc",
        "src/verdicts.cc",
        "src/zeroed.cc",
      ],
      "include_dirs": [
        "<!@(node -p \"require('node-addon-api').include\")",
        "generated",
      ],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        # Without it worker.terminate() of a polling worker aborts the whole process.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        # rte_thread_register, rte_devargs_parse
        "ALLOW_EXPERIMENTAL_API",
      ],
      # DPDK's own -march=corei7 also tunes for it: bsf, slow on others, where tzcnt would do.
      "cflags": ["-O3", "-g", "-Wall", "-Wextra", "-Wno-unused-parameter", "<!@(pkg-config --cflags libdpdk)", "-mtune=generic"],
      "cflags_cc": ["-fexceptions", "-std=gnu++17"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      # pkg-config leaves these three out.
      "libraries": ["<!@(pkg-config --libs libdpdk)", "-lrte_bus_vdev", "-lrte_net_ring", "-lrte_net_bond"],
      # Unloading would pull the code from under running threads and environment hooks.
      "ldflags": ["-Wl,-z,nodelete"],
    }
  ]
}
