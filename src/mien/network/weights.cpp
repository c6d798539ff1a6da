#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"
#include "mien/network/network.h"

namespace mien::network {
namespace {

constexpr const char* kFormatKey = "mien.format";
constexpr const char* kNetworkKey = "mien.network";
constexpr const char* kClassesKey = "mien.classes";
constexpr const char* kNormalizationKey = "mien.normalization";
constexpr std::array kOwnKeys{kFormatKey, kNetworkKey, kClassesKey, kNormalizationKey};
constexpr const char* kFormat = "1";
constexpr size_t kMostClassesBytes = 1 << 20;

/// Counts batches in PyTorch's state dicts; nothing is computed from it.
constexpr std::string_view kIgnoredSuffix = ".num_batches_tracked";

bool is_own_key(const std::string& key) { return std::find(kOwnKeys.begin(), kOwnKeys.end(), key) != kOwnKeys.end(); }

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

/// Compares the names, types and shapes of `file`'s tensors with the network's; the header is enough for that.
void check_tensors(const SafetensorsFile& file, const Graph& graph) {
  const auto fail = [&](const std::string& what) {
    throw_bad_data(fmt::format("cannot load {} into network {}: {}", file.origin(), graph.name, what),
                   "these are the weights of another network; `mien import` reads other names");
  };
  std::set<std::string> expected;
  for (const ParameterSpec& spec : graph.parameter_specs()) {
    const NamedArray* array = file.find(spec.name);
    if (array == nullptr) fail(fmt::format("the file has no tensor '{}'", spec.name));
    if (array->dtype != "F32") fail(fmt::format("tensor '{}' is {}, expected F32", spec.name, array->dtype));
    if (array->shape != spec.shape) {
      fail(fmt::format(
          "tensor '{}' has shape {}, expected {}", spec.name, shape_text(array->shape), shape_text(spec.shape)));
    }
    expected.insert(spec.name);
  }
  for (const NamedArray& array : file.arrays()) {
    if (!expected.contains(array.name) && !array.name.ends_with(kIgnoredSuffix)) {
      fail(fmt::format("the file has the tensor {} that the network does not", quote_sample(array.name)));
    }
  }
}

/// `file`'s tensors in the order of parameter_specs(), as [shape] float32 on the CPU. check_tensors has accepted it.
std::vector<at::Tensor> read_tensors(const SafetensorsFile& file, const Graph& graph) {
  std::vector<at::Tensor> tensors;
  for (const ParameterSpec& spec : graph.parameter_specs()) {
    const auto bytes = file.find(spec.name)->bytes;
    tensors.push_back(at::empty(spec.shape, at::kFloat));
    std::memcpy(tensors.back().data_ptr<float>(), bytes.data(), bytes.size());
  }
  check_values(graph, tensors, file.origin());
  return tensors;
}

void copy_into(const SafetensorsFile& file, Network& network) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> loaded = read_tensors(file, network.graph());
  for (size_t i = 0; i < loaded.size(); ++i) at::Tensor(network.tensors()[i]).copy_(loaded[i]);
}

const std::string& required(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw_bad_data(
        fmt::format("cannot load {}: its metadata has no '{}', expected weights that Mien wrote", file.origin(), key),
        fmt::format("`mien import {} --network NAME --classes A,B,...` writes weights with the four keys {}",
                    file.origin(),
                    fmt::join(kOwnKeys, ", ")));
  }
  return found->second;
}

Graph stored_graph(const SafetensorsFile& file) {
  const std::string& toml = required(file, kNetworkKey);
  try {
    return parse_graph(toml, "its network");
  } catch (const Error& error) {
    throw_bad_data(fmt::format("cannot load {}: {}", file.origin(), error.line()));
  }
}

std::vector<std::string> stored_classes(const SafetensorsFile& file, const Graph& graph) {
  const std::string& text = required(file, kClassesKey);
  const bool is_short = text.size() <= kMostClassesBytes;
  const nlohmann::json list = nlohmann::json::parse(is_short ? text : "", nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> names;
  bool is_list = list.is_array();
  if (is_list) {
    for (const nlohmann::json& name : list) {
      is_list = is_list && name.is_string();
      if (name.is_string()) names.push_back(name.get<std::string>());
    }
  }
  if (!is_list) throw_bad_data(fmt::format("cannot load {}: its class names are not a list of texts", file.origin()));
  if (!names.empty() && static_cast<int64_t>(names.size()) != graph.classes()) {
    throw_bad_data(fmt::format(
        "cannot load {}: it names {} classes, its network has {}", file.origin(), names.size(), graph.classes()));
  }
  return names;
}

}  // namespace

void save_weights(const std::filesystem::path& path, const Network& network, const WeightsInfo& info) {
  const Graph& graph = network.graph();
  if (!info.class_names.empty() && static_cast<int64_t>(info.class_names.size()) != graph.classes()) {
    throw_usage(fmt::format("cannot save {}: {} class names were given, network {} has {} classes",
                            path.string(),
                            info.class_names.size(),
                            graph.name,
                            graph.classes()));
  }
  std::map<std::string, std::string> metadata = info.extra;
  for (const auto& [key, value] : info.extra) {
    if (is_own_key(key)) throw_usage(fmt::format("cannot save {}: the metadata key '{}' is taken", path.string(), key));
  }
  metadata.emplace(kFormatKey, kFormat);
  metadata[kNetworkKey] = graph.toml;
  metadata[kClassesKey] = nlohmann::json(info.class_names).dump();
  metadata[kNormalizationKey] = info.normalization.text();

  const std::vector<ParameterSpec> specs = graph.parameter_specs();
  std::vector<at::Tensor> row_major;  // keeps the bytes alive until they are written
  std::vector<NamedArray> arrays;
  for (size_t i = 0; i < specs.size(); ++i) {
    row_major.push_back(network.tensors()[i].detach().to(at::kCPU, at::kFloat).contiguous());
    const std::span<const float> values(row_major.back().data_ptr<float>(),
                                        static_cast<size_t>(row_major.back().numel()));
    arrays.push_back({.name = specs[i].name, .dtype = "F32", .shape = specs[i].shape, .bytes = std::as_bytes(values)});
  }
  write_safetensors(path, arrays, metadata);
}

void check_values(const Graph& graph, const std::vector<at::Tensor>& tensors, const std::string& origin) {
  const std::vector<ParameterSpec> specs = graph.parameter_specs();
  for (size_t i = 0; i < specs.size(); ++i) {
    if (tensors[i].numel() == 0) continue;
    const auto [least, largest] = at::aminmax(tensors[i]);  // not a number if any value is not
    const double low = least.item<double>();
    const double high = largest.item<double>();
    const bool is_variance = specs[i].name.ends_with(".running_var");
    if (std::isfinite(low) && std::isfinite(high) && !(is_variance && low < 0)) continue;
    throw_bad_data(fmt::format("cannot load {} into network {}: tensor '{}' holds {}, expected {}",
                               origin,
                               graph.name,
                               specs[i].name,
                               std::isnan(low) ? "nan" : fmt::format("{}", std::isfinite(high) ? low : high),
                               is_variance ? "variances, at least 0" : "finite numbers"),
                   "the training that wrote it diverged, or the file is damaged; take the weights of another epoch");
  }
}

LoadedWeights load_weights(const std::filesystem::path& path) {
  std::optional<Graph> graph;
  WeightsInfo info;
  const SafetensorsFile file = SafetensorsFile::open(path, [&](const SafetensorsFile& header) {
    if (const std::string& format = required(header, kFormatKey); format != kFormat) {
      throw_bad_data(
          fmt::format("cannot load {}: its format is {}, expected {}", header.origin(), quote_sample(format), kFormat),
          "a newer Mien wrote it");
    }
    graph = stored_graph(header);
    info.class_names = stored_classes(header, *graph);
    try {
      info.normalization = Normalization::parse(required(header, kNormalizationKey));
    } catch (const Error& error) {
      throw_bad_data(fmt::format("cannot load {}: {}", header.origin(), error.what()));
    }
    check_tensors(header, *graph);
  });
  for (const auto& [key, value] : file.metadata()) {
    if (!is_own_key(key)) info.extra.emplace(key, value);
  }
  LoadedWeights loaded{
      .network = Network(std::move(*graph), 0), .info = std::move(info), .hash = checksum(file.bytes())};
  copy_into(file, loaded.network);
  return loaded;
}

void load_weights_into(const std::filesystem::path& path, Network& network) {
  const Graph& graph = network.graph();
  copy_into(SafetensorsFile::open(path, [&](const SafetensorsFile& header) { check_tensors(header, graph); }), network);
}

}  // namespace mien::network
