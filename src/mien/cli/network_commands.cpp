#include "mien/cli/network_commands.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/text.h"
#include "mien/network/graph/graph.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

/// One line; bytes of a path that are not UTF-8 are replaced.
std::string line_of(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json graph_object(const network::Graph& graph) {
  return {{"name", graph.name},
          {"source", graph.source},
          {"parameters", graph.total_parameters()},
          {"trainable", graph.trainable_parameters()},
          {"multiply_adds", graph.multiply_adds()}};
}

class NetworksListCommand final : public Command {
 public:
  int run(const Call& call) override {
    std::string text = fmt::format(
        "{:<16} {:>12} {:>12} {:>15}  {}\n", "network", "parameters", "trainable", "multiply-adds", "source");
    ordered_json json = ordered_json::array();
    for (const auto& entry : network::builtin_networks()) {
      const network::Graph graph = network::load_graph(entry.name);
      text += fmt::format("{:<16} {:>12} {:>12} {:>15}  {}\n",
                          entry.name,
                          with_commas(graph.total_parameters()),
                          with_commas(graph.trainable_parameters()),
                          with_commas(graph.multiply_adds()),
                          entry.source);
      json.push_back(graph_object(graph));
    }
    call.terminal.result(text, json.dump(2) + "\n");
    return 0;
  }
};

class NetworkCommand : public Command {
 public:
  std::vector<Positional> positionals() override {
    return {{"network", "a built-in network or the path of a network file", &name_}};
  }
  int run(const Call& call) override {
    show(network::load_graph(name_), call.terminal);
    return 0;
  }

 protected:
  virtual void show(const network::Graph& graph, Terminal& terminal) = 0;

 private:
  std::string name_;
};

class NetworksShowCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    terminal.result(graph.toml, line_of({{"name", graph.name}, {"toml", graph.toml}}));
  }
};

class NetworksTwinCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    const std::string toml = network::dense_twin_toml(graph);
    terminal.result(toml, line_of({{"twin_of", graph.name}, {"toml", toml}}));
  }
};

class NetworksLayersCommand final : public Command {
 public:
  int run(const Call& call) override {
    const std::string text = network::layer_reference();
    call.terminal.result(text, line_of({{"markdown", text}}));
    return 0;
  }
};

class NetworksSummaryCommand final : public NetworkCommand {
  void show(const network::Graph& graph, Terminal& terminal) override {
    ordered_json json = graph_object(graph);
    for (const network::Layer& layer : graph.layers) {
      const network::Shape& shape = layer.output_shape;
      json["layers"].push_back(
          {{"name", layer.name},
           {"kind", network::to_text(layer.kind)},
           {"output",
            shape.is_flat ? ordered_json{shape.channels} : ordered_json{shape.channels, shape.height, shape.width}},
           {"parameters", layer.trainable_parameters() + layer.buffers()},
           {"multiply_adds", layer.multiply_adds()}});
    }
    terminal.result(network::summary_table(graph), json.dump(2) + "\n");
  }
};

template <class T>
CommandSpec command(const char* name, const char* summary) {
  return {name, "Networks", summary, [] { return std::make_unique<T>(); }};
}

}  // namespace

std::vector<CommandSpec> network_commands() {
  return {command<NetworksListCommand>("networks list", "the built-in networks with their sizes"),
          command<NetworksLayersCommand>("networks layers",
                                         "every layer of a network file with its keys, ranges and defaults"),
          command<NetworksShowCommand>("networks show", "a network's file, ready to copy and change"),
          command<NetworksSummaryCommand>("networks summary", "layers, shapes, parameters, multiply-adds"),
          command<NetworksTwinCommand>("networks twin", "a dense network with as many parameters, as a network file")};
}

}  // namespace mien::cli
