#include "mien/explain/methods.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/baselines.h"

namespace mien::explain {

void MethodOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(&layer, {.name = "layer", .help = "layer that class activation methods read: a name, last (the last convolution), or empty for the last one with more than one position"});
  options.add(&seed, {.name = "explain-seed", .help = "seed of everything random in an explanation; the same seed and threads give the same bytes", .minimum = 0});
  options.add(&batch_size, {.name = "explain-batch", .help = "images in one pass of an explanation; bounds memory", .minimum = 1, .maximum = 65536});
  gradient.bind(options);
  cam.bind(options);
  perturbation.bind(options);
}

std::span<const MethodSpec> methods() {
  static const std::vector<MethodSpec> table = [] {
    std::vector<MethodSpec> all;
    for (auto family : {gradient_methods(), cam_methods(), perturbation_methods(), baseline_methods()}) {
      for (MethodSpec& spec : family) all.push_back(std::move(spec));
    }
    return all;
  }();
  return table;
}

const MethodSpec& method(const std::string& name) {
  std::vector<std::string> names;
  for (const MethodSpec& spec : methods()) {
    if (spec.name == name) return spec;
    names.push_back(spec.name);
  }
  throw_usage(fmt::format("unknown method {}", quote_sample(name)), suggestion(name, names));
}

Maps explain(const MethodSpec& spec, const Question& question, const MethodOptions& options) {
  const network::Graph& graph = question.network.graph();
  if (const std::string why = spec.obstacle ? spec.obstacle(graph) : std::string(); !why.empty()) {
    throw_usage(fmt::format("{}: {}", spec.name, why), "`mien methods` shows what each method needs");
  }
  if (question.targets.dim() != 1 || question.targets.size(0) != question.images.size(0)) {
    throw_usage(fmt::format("cannot explain {} images with {} targets", question.images.size(0), question.targets.numel()));
  }
  const int64_t classes = graph.classes();
  if (question.targets.numel() > 0 && (question.targets.min().item<int64_t>() < 0 || question.targets.max().item<int64_t>() >= classes)) {
    throw_usage(fmt::format("a target is outside the classes 0 to {} of {}", classes - 1, graph.name));
  }
  return spec.explain(question, options);
}

}  // namespace mien::explain
