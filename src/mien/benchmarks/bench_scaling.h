#pragma once

#include <cstdint>
#include <vector>

#include "mien/network/graph/graph.h"

namespace mien::benchmarks {

/// The network's file with images of another side; what follows a flatten layer grows or shrinks with them. Throws
/// Error(usage) if the network cannot take them.
network::Graph with_side(const network::Graph& graph, int64_t side);

/// The network's file with every convolution and dense layer but the last `factor` times as wide, at least 1.
network::Graph with_width(const network::Graph& graph, double factor);

/// A straight line, and the share of the variance of y that it explains.
struct Line {
  double intercept = 0;
  double slope = 0;
  double r_squared = 0;
};

/// The least-squares line through the points (x, y): at least two, with different x.
Line fit_line(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace mien::benchmarks
