#include <algorithm>
#include <cmath>
#include <numeric>

#include "mien/explain/segmentation/segmenters.h"

namespace mien::explain {
namespace {

struct Edge {
  int64_t one = 0;
  int64_t other = 0;
  double cost = 0;
};

/// Edges between neighbors: right, down, down-right and up-right, each in reading order.
std::vector<Edge> edges_of(const PixelGrid& image) {
  std::vector<Edge> edges;
  const auto add_all = [&](int64_t rows, int64_t columns, int64_t from_y, int64_t from_x, int64_t to_y, int64_t to_x) {
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        Edge edge{.one = (y + from_y) * image.width + x + from_x, .other = (y + to_y) * image.width + x + to_x};
        double sum = 0;
        for (int64_t c = 0; c < image.channels; ++c) {
          const double difference = image.at(edge.one)[c] - image.at(edge.other)[c];
          sum += difference * difference;
        }
        edge.cost = std::sqrt(sum);
        edges.push_back(edge);
      }
    }
  };
  const int64_t height = image.height;
  const int64_t width = image.width;
  add_all(height, width - 1, 0, 1, 0, 0);
  add_all(height - 1, width, 1, 0, 0, 0);
  add_all(height - 1, width - 1, 1, 1, 0, 0);
  add_all(height - 1, width - 1, 0, 1, 1, 0);
  return edges;
}

/// Disjoint regions; the smallest pixel of a region stands for it.
class Forest {
 public:
  explicit Forest(int64_t count)
      : parent_(static_cast<size_t>(count)), size_(parent_.size(), 1), inner_(parent_.size(), 0) {
    std::iota(parent_.begin(), parent_.end(), 0);
  }

  int64_t root(int64_t node) {
    while (parent_[static_cast<size_t>(node)] != node) {
      int64_t& parent = parent_[static_cast<size_t>(node)];
      parent = parent_[static_cast<size_t>(parent)];
      node = parent;
    }
    return node;
  }
  int64_t size(int64_t root) const { return size_[static_cast<size_t>(root)]; }
  /// Largest cost inside the region.
  double inner(int64_t root) const { return inner_[static_cast<size_t>(root)]; }

  void join(int64_t one, int64_t other, double cost) {
    const auto [root, child] = std::minmax(one, other);
    parent_[static_cast<size_t>(child)] = root;
    size_[static_cast<size_t>(root)] += size_[static_cast<size_t>(child)];
    inner_[static_cast<size_t>(root)] = cost;
  }

 private:
  std::vector<int64_t> parent_;
  std::vector<int64_t> size_;
  std::vector<double> inner_;
};

}  // namespace

Labels felzenszwalb(const PixelGrid& smoothed, double scale, int64_t least) {
  std::vector<Edge> edges = edges_of(smoothed);
  std::stable_sort(
      edges.begin(), edges.end(), [](const Edge& one, const Edge& other) { return one.cost < other.cost; });
  Forest forest(smoothed.pixels());
  // Single precision, because the package compares in it and ties decide.
  const auto bound = [&](int64_t root) {
    return static_cast<float>(forest.inner(root) + scale / 255 / static_cast<double>(forest.size(root)));
  };
  for (const Edge& edge : edges) {
    const int64_t one = forest.root(edge.one);
    const int64_t other = forest.root(edge.other);
    if (one != other && edge.cost < static_cast<double>(std::min(bound(one), bound(other))))
      forest.join(one, other, edge.cost);
  }
  for (const Edge& edge : edges) {
    const int64_t one = forest.root(edge.one);
    const int64_t other = forest.root(edge.other);
    if (one != other && std::min(forest.size(one), forest.size(other)) < least) forest.join(one, other, edge.cost);
  }
  Labels labels(static_cast<size_t>(smoothed.pixels()));
  for (int64_t pixel = 0; pixel < smoothed.pixels(); ++pixel) labels[static_cast<size_t>(pixel)] = forest.root(pixel);
  return labels;
}

}  // namespace mien::explain
