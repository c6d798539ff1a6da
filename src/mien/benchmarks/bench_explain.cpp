#include <algorithm>
#include <chrono>
#include <functional>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <torch/csrc/autograd/autograd.h>

#include "mien/benchmarks/bench_rounds.h"
#include "mien/benchmarks/bench_task.h"
#include "mien/core/error.h"
#include "mien/core/parallel.h"
#include "mien/core/progress.h"
#include "mien/evaluation/evaluator.h"
#include "mien/explain/layer_gradient.h"
#include "mien/explain/layers.h"
#include "mien/explain/methods.h"
#include "mien/explain/units/activation_maximization.h"

namespace mien::benchmarks {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const std::function<void()>& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One line of the bench: seconds, one a round.
struct Line {
  std::string what;
  std::vector<double> mien;
  std::vector<double> passes;      ///< the network's passes that the method cannot do without, and nothing else
  std::vector<double> one_by_one;  ///< the plain loop, projected from its first turns
};

/// Seconds of `count` forward passes in batches of `batch`.
double forward_seconds(const network::Network& network, const at::Tensor& images, int64_t count, int64_t batch) {
  const at::NoGradGuard no_grad;
  return seconds_of([&] {
    for (int64_t begin = 0; begin < count; begin += batch) {
      const int64_t n = std::min(batch, count - begin);
      network.forward(images.slice(0, 0, n), network::Mode::evaluation);
    }
  });
}

/// The same with libtorch's own functions and one image at a time, projected from `turns` of them.
double plain_seconds(
    const network::Network& plain, const at::Tensor& images, int64_t count, int64_t turns, bool with_gradient) {
  const at::Tensor target = at::zeros({1}, at::kLong);
  const double seconds = seconds_of([&] {
    for (int64_t turn = 0; turn < turns; ++turn) {
      const at::Tensor image = images.slice(0, turn % images.size(0), turn % images.size(0) + 1);
      if (with_gradient) {
        explain::input_gradient({.network = plain, .images = image, .targets = target});
      } else {
        const at::NoGradGuard no_grad;
        plain.forward(image, network::Mode::evaluation);
      }
    }
  });
  return seconds / static_cast<double>(turns) * static_cast<double>(count);
}

/// The forward pass, and the backward pass from the scores to `layer`.
double passes_to_layer_seconds(const network::Network& network, const at::Tensor& images, int64_t batch, int layer) {
  double total = 0;
  for (int64_t begin = 0; begin < images.size(0); begin += batch) {
    const at::Tensor part = images.slice(0, begin, std::min(images.size(0), begin + batch));
    std::vector<at::Tensor> outputs = explain::outputs_until(network, part, layer);
    total += forward_seconds(network, part, part.size(0), part.size(0));
    const at::AutoGradMode with_gradient(true);
    at::Tensor& read = outputs[static_cast<size_t>(layer)];
    read = read.detach().set_requires_grad(true);
    const at::Tensor leaf = read;
    const at::Tensor score = explain::run_rest(network, outputs, layer).select(1, 0).sum();
    total += seconds_of([&] { torch::autograd::grad({score}, {leaf}); });
  }
  return total;
}

double ascent_seconds(const network::Network& network, int layer, int64_t units, int64_t steps, bool one_by_one) {
  explain::AscentTask task{.network = network, .normalization = {}, .layer = layer, .units = {}};
  for (int64_t unit = 0; unit < units; ++unit) task.units.push_back(unit);
  explain::AscentOptions options;
  options.steps = steps;
  return seconds_of(
      [&] { one_by_one ? explain::maximize_one_by_one(task, options) : explain::maximize(task, options); });
}

/// 64 filters of every convolution, 500 steps, both projected from fewer.
void ascent_round(const network::Network& network,
                  const network::Network& plain,
                  Line& line,
                  ProgressListener& listener) {
  constexpr int64_t kFilters = 64;
  constexpr int64_t kSteps = 500;
  double mien = 0;
  double loop = 0;
  for (int layer = 0; layer < static_cast<int>(network.graph().layers.size()); ++layer) {
    const network::Layer& node = network.graph().layers[static_cast<size_t>(layer)];
    if (node.kind != network::LayerKind::conv) continue;
    const int64_t units = std::min(kFilters, node.output_shape.channels);
    listener.progress("ascent of " + node.name, 0, 1, "");
    const double start = ascent_seconds(network, layer, units, 0, false);
    constexpr int64_t kOwnSteps = 10;
    const double some = ascent_seconds(network, layer, units, kOwnSteps, false);
    mien += start + std::max(0.0, some - start) / kOwnSteps * kSteps;
    constexpr int64_t kLoopSteps = 8;
    const double none = ascent_seconds(plain, layer, 1, 1, true);
    const double more = ascent_seconds(plain, layer, 1, 1 + kLoopSteps, true);
    loop += std::max(0.0, more - none) / kLoopSteps * kSteps * static_cast<double>(units);
  }
  line.mien.push_back(mien);
  line.one_by_one.push_back(loop);
}

}  // namespace

BenchReport bench_explain(const BenchOptions& options, int64_t faces, ProgressListener& listener) {
  const network::Network leaky4 = explain::frozen_copy(network::Network(network::load_graph("leaky4"), 0));
  network::Network leaky4_plain = leaky4;
  leaky4_plain.set_fused(false);
  const network::Network box3 = explain::frozen_copy(network::Network(network::load_graph("box3"), 0));
  network::Network box3_plain = box3;
  box3_plain.set_fused(false);
  const at::Tensor images = evaluation::normalized_images(random_faces(leaky4.graph(), faces), {}, first_rows(faces));
  const auto request = [&](int64_t count) {
    return explain::AttributionRequest{
        .network = leaky4, .images = images.slice(0, 0, count), .targets = at::zeros({count}, at::kLong)};
  };
  explain::MethodOptions methods;
  methods.perturbation.rise_samples = 1000;
  const auto explained = [&](const char* name, int64_t count) {
    return seconds_of([&] { explain::explain(explain::method(name), request(count), methods); });
  };
  constexpr int64_t kSamples = 1000;
  constexpr int64_t kTurns = 40;
  const int64_t windows_a_side =
      (48 - methods.perturbation.occlusion_window + methods.perturbation.occlusion_stride - 1) /
          methods.perturbation.occlusion_stride +
      1;
  const int64_t occlusions = windows_a_side * windows_a_side + 1;
  const int layer = explain::choose_layer(leaky4.graph(), "");

  std::vector<Line> lines{{.what = "lime, 1,000 samples"},
                          {.what = "rise, 1,000 masks"},
                          {.what = fmt::format("occlusion, {} windows", occlusions - 1)},
                          {.what = fmt::format("grad-cam, {} faces", faces)},
                          {.what = "integrated gradients, 16 faces x 50"},
                          {.what = "ascent, box3, 64 filters x 3 x 500"}};
  forward_seconds(leaky4, images, 2 * options.batch_size, options.batch_size);
  for (int64_t round = 0; round < options.rounds; ++round) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
    listener.progress("round", round + 1, options.rounds, "");
    const char* const perturbations[] = {"lime", "rise", "occlusion"};
    for (size_t i = 0; i < 3; ++i) {
      const int64_t passes = i < 2 ? kSamples : occlusions;
      lines[i].mien.push_back(explained(perturbations[i], 1));
      lines[i].passes.push_back(forward_seconds(leaky4, images, passes, methods.batch_size));
      lines[i].one_by_one.push_back(plain_seconds(leaky4_plain, images, passes, kTurns, false));
    }
    lines[3].mien.push_back(explained("grad-cam", faces));
    lines[3].passes.push_back(passes_to_layer_seconds(leaky4, images, methods.batch_size, layer));
    lines[3].one_by_one.push_back(plain_seconds(leaky4_plain, images, faces, kTurns, true));
    lines[4].mien.push_back(explained("integrated-gradients", std::min<int64_t>(16, faces)));
    lines[4].one_by_one.push_back(plain_seconds(leaky4_plain, images, 16 * 50, kTurns, true));
    ascent_round(box3, box3_plain, lines[5], listener);
  }

  std::string text =
      fmt::format("explanations, {} threads; seconds, medians of {} rounds\n{:<38} {:>9} {:>12} {:>9} {:>14} {:>9}\n",
                  threads(),
                  options.rounds,
                  "",
                  "Mien",
                  "bare passes",
                  "times",
                  "one at a time",
                  "times");
  nlohmann::ordered_json json{
      {"threads", threads()}, {"rounds", options.rounds}, {"rows", nlohmann::ordered_json::array()}};
  const auto ratio = [](const std::vector<double>& above, const std::vector<double>& below) {
    std::vector<double> values;
    for (size_t i = 0; i < above.size(); ++i) values.push_back(above[i] / below[i]);
    return median(values);
  };
  for (const Line& line : lines) {
    const bool has_passes = !line.passes.empty();
    const double over_passes = has_passes ? ratio(line.mien, line.passes) : 0;
    const double speedup = ratio(line.one_by_one, line.mien);
    text += fmt::format("{:<38} {:>9.3f} {:>12} {:>9} {:>14.2f} {:>9.1f}\n",
                        line.what,
                        median(line.mien),
                        has_passes ? fmt::format("{:.3f}", median(line.passes)) : "-",
                        has_passes ? fmt::format("{:.2f}", over_passes) : "-",
                        median(line.one_by_one),
                        speedup);
    nlohmann::ordered_json row{{"what", line.what},
                               {"mien_seconds", median(line.mien)},
                               {"one_by_one_seconds", median(line.one_by_one)},
                               {"speedup", speedup}};
    if (has_passes) row["passes_seconds"] = median(line.passes), row["times_the_passes"] = over_passes;
    json["rows"].push_back(std::move(row));
  }
  return {.text = text, .json = json.dump(2) + "\n"};
}

}  // namespace mien::benchmarks
