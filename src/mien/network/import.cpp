#include "mien/network/import.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mien/core/error.h"
#include "mien/core/safetensors.h"
#include "mien/core/text.h"

namespace mien::network {
namespace {

constexpr size_t kMostListed = 6;
constexpr std::string_view kIgnoredEnding = "num_batches_tracked";

/// The tensors of one layer: its name and their shapes by their endings.
struct Tensors {
  std::string name;
  std::map<std::string, std::vector<int64_t>> shapes;

  std::string text() const {
    std::vector<std::string> parts;
    for (const auto& [ending, shape] : shapes) parts.push_back(fmt::format("{} [{}]", ending, fmt::join(shape, ",")));
    return fmt::format("{} ({})", name, join(parts, ", "));
  }
};

void add_tensor(std::vector<Tensors>& layers, const std::string& name, const std::vector<int64_t>& shape) {
  const size_t dot = name.rfind('.');
  const std::string layer = dot == std::string::npos ? "" : name.substr(0, dot);
  const std::string ending = dot == std::string::npos ? name : name.substr(dot + 1);
  if (ending == kIgnoredEnding) return;
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const Tensors& t) { return t.name == layer; });
  if (found != layers.end()) {
    found->shapes[ending] = shape;
  } else {
    layers.push_back({layer, {{ending, shape}}});
  }
}

/// "features.2" before "features.10": runs of digits compare as numbers.
bool comes_before(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const auto digits = [&](const std::string& text, size_t& at) {
        while (at + 1 < text.size() && text[at] == '0' && is_digit(text[at + 1])) ++at;
        const size_t begin = at;
        while (at < text.size() && is_digit(text[at])) ++at;
        return std::string_view(text).substr(begin, at - begin);
      };
      const std::string_view first = digits(a, i);
      const std::string_view second = digits(b, j);
      if (first.size() != second.size()) return first.size() < second.size();
      if (first != second) return first < second;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

/// Length of the part, up to a dot, that all names begin with ("module.").
size_t shared_prefix(const std::vector<Tensors>& layers) {
  if (layers.empty()) return 0;
  std::string shared = layers.front().name;
  for (const Tensors& layer : layers) {
    const auto [end, ignored] = std::mismatch(shared.begin(), shared.end(), layer.name.begin(), layer.name.end());
    shared.erase(end, shared.end());
  }
  const size_t dot = shared.rfind('.');
  return dot == std::string::npos ? 0 : dot + 1;
}

class Matcher {
 public:
  Matcher(const SafetensorsFile& file, const Graph& graph) : origin_(file.origin()), graph_(graph) {
    for (const NamedArray& array : file.arrays()) add_tensor(foreign_, array.name, array.shape);
    for (const ParameterSpec& spec : graph.parameter_specs()) add_tensor(own_, spec.name, spec.shape);
    std::stable_sort(foreign_.begin(), foreign_.end(), [](const Tensors& a, const Tensors& b) {
      return comes_before(a.name, b.name);
    });
    partner_.resize(own_.size());
    is_used_.resize(foreign_.size());
  }

  std::vector<ImportedLayer> match(const std::map<std::string, std::string>& names) {
    for (const auto& [from, to] : names) match_given(from, to);
    const size_t prefix = shared_prefix(foreign_);
    match_all("name", [&](const Tensors& own, const Tensors& foreign) {
      return foreign.name == own.name || foreign.name.substr(prefix) == own.name;
    });
    match_all("shape and order", [](const Tensors&, const Tensors&) { return true; });
    refuse_leftovers();
    std::vector<ImportedLayer> layers;
    for (size_t i = 0; i < own_.size(); ++i) layers.push_back(*partner_[i]);
    return layers;
  }

 private:
  static size_t index_of(const std::vector<Tensors>& layers, const std::string& name, const std::string& where) {
    std::vector<std::string> names;
    for (const Tensors& layer : layers) {
      if (layer.name == name) return names.size();
      names.push_back(layer.name);
    }
    throw_usage(fmt::format("{} has no layer with tensors called {}", where, quote_sample(name)),
                suggestion(name, names));
  }

  void pair(size_t own, size_t foreign, const std::string& how) {
    partner_[own] = {foreign_[foreign].name, own_[own].name, how};
    is_used_[foreign] = true;
  }

  void match_given(const std::string& from, const std::string& to) {
    const size_t foreign = index_of(foreign_, from, origin_);
    const size_t own = index_of(own_, to, "network " + graph_.name);
    if (partner_[own] || is_used_[foreign])
      throw_usage(fmt::format("{}={} is mapped twice", from, to), "map each once");
    if (foreign_[foreign].shapes != own_[own].shapes) {
      throw_bad_data(fmt::format("cannot import {} into network {}: {} does not fit {}",
                                 origin_,
                                 graph_.name,
                                 foreign_[foreign].text(),
                                 own_[own].text()),
                     "shapes are [outputs, inputs, height, width]; change the network file or the map");
    }
    pair(own, foreign, "given");
  }

  template <class Fits>
  void match_all(const std::string& how, Fits fits) {
    for (size_t own = 0; own < own_.size(); ++own) {
      for (size_t i = 0; i < foreign_.size() && !partner_[own]; ++i) {
        if (!is_used_[i] && foreign_[i].shapes == own_[own].shapes && fits(own_[own], foreign_[i])) pair(own, i, how);
      }
    }
  }

  void refuse_leftovers() const {
    std::vector<std::string> missing;
    std::vector<std::string> left;
    for (size_t i = 0; i < own_.size(); ++i) {
      if (!partner_[i]) missing.push_back(own_[i].text());
    }
    for (size_t i = 0; i < foreign_.size(); ++i) {
      if (!is_used_[i]) left.push_back(foreign_[i].text());
    }
    if (missing.empty() && left.empty()) return;
    const auto listed = [](const std::vector<std::string>& all) {
      const std::span<const std::string> shown(all.data(), std::min(all.size(), kMostListed));
      const std::string more = all.size() > kMostListed ? fmt::format(" and {} more", all.size() - kMostListed) : "";
      return all.empty() ? "none" : join(shown, ", ") + more;
    };
    throw_bad_data(fmt::format("cannot import {} into network {}: layers of the network without tensors: {}; layers of "
                               "the file left over: {}",
                               origin_,
                               graph_.name,
                               listed(missing),
                               listed(left)),
                   "shapes are [outputs, inputs, height, width]; a layer without a bias says bias = false");
  }

  std::string origin_;
  const Graph& graph_;
  std::vector<Tensors> foreign_;
  std::vector<Tensors> own_;
  std::vector<std::optional<ImportedLayer>> partner_;  // of own_
  std::vector<bool> is_used_;                          // of foreign_
};

at::Tensor as_float(const NamedArray& array, const std::string& origin) {
  const std::map<std::string_view, at::ScalarType> types{
      {"F32", at::kFloat}, {"F64", at::kDouble}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}};
  const auto type = types.find(array.dtype);
  if (type == types.end()) {
    throw_bad_data(fmt::format("cannot import {}: tensor {} is {}, expected F32, F64, F16 or BF16",
                               origin,
                               quote_sample(array.name),
                               array.dtype),
                   "quantized weights have to be made floating-point first");
  }
  at::Tensor values = at::empty(array.shape, at::TensorOptions().dtype(type->second));
  std::copy(array.bytes.begin(), array.bytes.end(), static_cast<std::byte*>(values.data_ptr()));
  return values.to(at::kFloat);
}

}  // namespace

ImportedWeights import_weights(const std::filesystem::path& path,
                               Graph graph,
                               const std::map<std::string, std::string>& names) {
  std::vector<ImportedLayer> layers;
  // The header tells whether the file fits, before memory is taken for either.
  const SafetensorsFile file =
      SafetensorsFile::open(path, [&](const SafetensorsFile& header) { layers = Matcher(header, graph).match(names); });
  std::map<std::string, std::string> foreign_name;
  for (const ImportedLayer& layer : layers) foreign_name[layer.to] = layer.from;
  std::vector<at::Tensor> loaded;
  for (const ParameterSpec& spec : graph.parameter_specs()) {
    const size_t dot = spec.name.rfind('.');
    const std::string& from = foreign_name.at(spec.name.substr(0, dot));
    loaded.push_back(
        as_float(*file.find(from.empty() ? spec.name.substr(dot + 1) : from + spec.name.substr(dot)), file.origin()));
  }
  check_values(graph, loaded, file.origin());
  ImportedWeights result{.network = Network(std::move(graph), 0), .layers = std::move(layers)};
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < loaded.size(); ++i) at::Tensor(result.network.tensors()[i]).copy_(loaded[i]);
  return result;
}

}  // namespace mien::network
