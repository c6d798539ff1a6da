#include "mien/cli/import_command.h"

#include <array>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/network/import.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

/// Metadata of imported weights: the file they came from.
constexpr const char* kFromKey = "imported.from";

class ImportCommand final : public ComputingCommand<ImportCommand> {
 public:
  std::vector<Positional> positionals() override {
    return {{"file", "safetensors file, such as a PyTorch state dict", &file_}};
  }
  void bind(OptionSet& options) override {
    options.group("import");
    options.add(
        &network_,
        {.name = "network", .help = "the network that the weights belong to: a built-in one or a network file"});
    options.add(&classes_, {.name = "classes", .help = "class names in the order of the network's outputs"});
    options.add(&normalization_,
                {.name = "normalization",
                 .help = "what the weights were trained to read: scale (pixels / 255), per-image, or "
                         "dataset(MEAN,DEVIATION) of pixels / 255"});
    options.add(
        &map_,
        {.name = "map", .help = "which layer becomes which where names and shapes do not tell: features.0=conv1"});
    options.add(&out_, {.name = "out", .help = "weights file to write"});
  }

  int compute(const Call& call) {
    if (network_.empty()) throw_usage("import needs --network", "`mien networks list` names the built-in networks");
    network::Graph graph = network::load_graph(network_);
    check_classes(graph);
    const network::WeightsInfo info{.normalization = network::Normalization::parse(normalization_),
                                    .class_names = classes_,
                                    .extra = {{kFromKey, file_}}};
    const std::array<std::filesystem::path, 2> inputs{file_, network_};
    check_safetensors_output(out_, inputs, "--out", kFromKey, "weights that were imported");
    const network::ImportedWeights imported = network::import_weights(file_, std::move(graph), pairs());
    network::save_weights(out_, imported.network, info);
    std::string text;
    ordered_json json{{"file", out_}, {"layers", ordered_json::array()}};
    for (const network::ImportedLayer& layer : imported.layers) {
      text += fmt::format("{:<32} -> {:<20} by {}\n", layer.from, layer.to, layer.how);
      json["layers"].push_back({{"from", layer.from}, {"to", layer.to}, {"how", layer.how}});
    }
    call.terminal.result(text + fmt::format("weights: {}\n", out_),
                         json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
    return 0;
  }

 private:
  void check_classes(const network::Graph& graph) const {
    if (static_cast<int64_t>(classes_.size()) == graph.classes()) return;
    throw_usage(
        fmt::format("--classes names {} classes, network {} has {}", classes_.size(), graph.name, graph.classes()),
        "name them in the order of the network's outputs: --classes "
        "angry,disgust,fear,happy,sad,surprise,neutral");
  }

  std::map<std::string, std::string> pairs() const {
    std::map<std::string, std::string> names;
    for (const std::string& pair : map_) {
      const size_t equals = pair.find('=');
      if (equals == std::string::npos || !names.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second) {
        throw_usage(
            fmt::format("--map has {}, expected layers of the file, each once, as FILES=NETWORKS", quote_sample(pair)),
            "such as --map features.0=conv1,features.3=conv2");
      }
    }
    return names;
  }

  std::string file_;
  std::string network_;
  std::vector<std::string> classes_;
  std::string normalization_ = "scale";
  std::vector<std::string> map_;
  std::string out_ = "weights.safetensors";
};

}  // namespace

std::vector<CommandSpec> import_commands() {
  return {{"import", "Networks", "weights of another program, such as PyTorch, for a network file", [] {
             return std::make_unique<ImportCommand>();
           }}};
}

}  // namespace mien::cli
