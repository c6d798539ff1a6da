#include "fuzz/fuzzing.h"

#include "mien/network/graph/graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return mien::fuzz::tried([&] {
    const mien::network::Graph graph = mien::network::parse_graph(mien::fuzz::text_of(data, size), "fuzz.toml");
    mien::network::summary_table(graph);
    graph.parameter_specs();
  });
}
