#include "mien/explain/methods.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/explain/batches.h"
#include "mien/explain/faithfulness/baselines.h"

namespace mien::explain {

void MethodOptions::bind(OptionSet& options) {
  options.group("explain");
  options.add(&layer,
              {.name = "layer",
               .help = "layer that class activation methods read: a name, last (the last convolution), or empty for "
                       "the last one with more than one position, before its pooling"});
  options.add(&seed,
              {.name = "explain-seed",
               .help = "seed of everything random in an explanation; the same seed and threads give the same bytes",
               .minimum = 0});
  options.add(&batch_size,
              {.name = "explain-batch",
               .help = "images in one pass of an explanation; bounds memory",
               .minimum = 1,
               .maximum = 65536});
  gradient.bind(options);
  cam.bind(options);
  perturbation.bind(options);
}

std::span<const MethodSpec> methods() {
  static const std::vector<MethodSpec> table = [] {
    std::vector<MethodSpec> all;
    for (auto family : {gradient_methods(), cam_methods(), perturbation_methods(), baseline_methods()}) {
      for (MethodSpec& spec : family) {
        spec.explain = [explain = std::move(spec.explain), unit = spec.unit](const AttributionRequest& request,
                                                                             const MethodOptions& options) {
          Attributions maps = explain(request, options);
          drop_rounding_noise(request, unit, options.batch_size, maps);
          return maps;
        };
        all.push_back(std::move(spec));
      }
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

Attributions explain(const MethodSpec& spec, const AttributionRequest& request, const MethodOptions& options) {
  const network::Graph& graph = request.network.graph();
  if (const std::string why = spec.unsupported_reason ? spec.unsupported_reason(graph) : std::string(); !why.empty()) {
    throw_usage(fmt::format("{}: {}", spec.name, why), "`mien methods` shows what each method needs");
  }
  if (request.targets.dim() != 1 || request.targets.size(0) != request.images.size(0)) {
    throw_usage(
        fmt::format("cannot explain {} images with {} targets", request.images.size(0), request.targets.numel()));
  }
  const int64_t classes = graph.classes();
  if (request.targets.numel() > 0 &&
      (request.targets.min().item<int64_t>() < 0 || request.targets.max().item<int64_t>() >= classes)) {
    throw_usage(fmt::format("a target is outside the classes 0 to {} of {}", classes - 1, graph.name));
  }
  return spec.explain(request, options);
}

}  // namespace mien::explain
