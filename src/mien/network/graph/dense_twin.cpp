#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/network/graph/graph_builder.h"

namespace mien::network {
namespace {

constexpr double kTolerance = 0.015;  ///< of the number of trained parameters

/// Widths of a network like dnn3: three hidden dense layers with batch norm, then one output a class with batch norm.
struct Widths {
  int64_t inputs, first, middle, last, classes;

  /// Weights, biases, and batch norm's gamma and beta.
  int64_t trainable_parameters() const {
    const auto dense = [](int64_t from, int64_t to) { return from * to + 3 * to; };
    return dense(inputs, first) + dense(first, middle) + dense(middle, last) + dense(last, classes);
  }
  /// How far from `wanted`, as a share of it.
  double error(int64_t wanted) const {
    return std::abs(static_cast<double>(trainable_parameters() - wanted)) / static_cast<double>(wanted);
  }
};

/// The 1:2:1 widths with most parameters not above `wanted`, or first = 1.
Widths proportioned(int64_t inputs, int64_t classes, int64_t wanted) {
  int64_t low = 1;
  int64_t high = kMostDenseOutputs / 2;
  while (low < high) {
    const int64_t width = (low + high + 1) / 2;
    if (Widths{inputs, width, 2 * width, width, classes}.trainable_parameters() <= wanted) {
      low = width;
    } else {
      high = width - 1;
    }
  }
  return {inputs, low, 2 * low, low, classes};
}

/// `widths` with the middle width that brings it nearest to `wanted`; every unit of it costs first + last + 3.
Widths with_best_middle(Widths widths, int64_t wanted) {
  widths.middle = 0;
  const int64_t cost = widths.first + widths.last + 3;
  const int64_t missing = wanted - widths.trainable_parameters();
  widths.middle = std::clamp<int64_t>((missing + cost / 2) / cost, 1, kMostDenseOutputs);
  return widths;
}

Widths find_widths(int64_t inputs, int64_t classes, int64_t wanted) {
  const Widths below = proportioned(inputs, classes, wanted);
  const Widths above{inputs, below.first + 1, 2 * (below.first + 1), below.first + 1, classes};
  Widths best = below.error(wanted) <= above.error(wanted) ? below : above;
  // Where a step of the proportioned width is too large, keep the outer widths as near to it as possible, and equal if
  // possible.
  for (int64_t first = below.first; first >= 1 && best.error(wanted) > kTolerance; --first) {
    for (int64_t last = first; last >= 1 && best.error(wanted) > kTolerance; --last) {
      const Widths candidate = with_best_middle({inputs, first, 1, last, classes}, wanted);
      if (candidate.error(wanted) < best.error(wanted)) best = candidate;
    }
  }
  return best;
}

}  // namespace

std::string dense_twin_toml(const Graph& graph) {
  const int64_t wanted = graph.trainable_parameters();
  const Shape input = graph.input_shape();
  const Widths widths = wanted == 0 ? Widths{input.elements(), 1, 2, 1, graph.classes()}
                                    : find_widths(input.elements(), graph.classes(), wanted);
  const int64_t reached = widths.trainable_parameters();
  if (wanted == 0 || widths.error(wanted) > kTolerance) {
    throw_usage(
        fmt::format("cannot find a dense twin of {}: it trains {} parameters, the nearest dense network on {} "
                    "inputs trains {}, expected one within {} %",
                    graph.name,
                    with_commas(wanted),
                    with_commas(input.elements()),
                    with_commas(reached),
                    100 * kTolerance));
  }
  std::string name = graph.name.substr(0, 58) + "-dense";
  std::string text = fmt::format(
      "# Dense twin of {}: {} trained parameters against its {}.\n"
      "name   = \"{}\"\n"
      "source = \"dense twin of {}, built as report A's dnn3\"\n"
      "input  = [{}, {}, {}]\n"
      "layers = [\n"
      "  \"flatten\",\n",
      graph.name,
      with_commas(reached),
      with_commas(wanted),
      name,
      graph.name,
      input.channels,
      input.height,
      input.width);
  for (const int64_t width : {widths.first, widths.middle, widths.last}) {
    text += fmt::format("  {{ dense = {} }}, \"relu\", \"batch_norm\", {{ dropout = 0.25 }},\n", width);
  }
  return text + fmt::format("  {{ dense = {} }}, \"batch_norm\",\n]\n", graph.classes());
}

}  // namespace mien::network
