#include "mien/network/library_check.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mien/network/graph/graph.h"
#include "mien/network/network.h"

namespace mien::network {
namespace {

TEST(LibraryCheck, LeavesOneDnnOnlyWhereItsConvolutionsAreRight) {
  avoid_wrong_library_convolutions();
  EXPECT_EQ(at::globalContext().userEnabledMkldnn(), library_convolutions_are_right());
}

/// A shortcut of a residual network, as oneDNN 3.7.2 gets it wrong: plain loops over the pixels that it reads.
TEST(StridedOneByOneConvolution, IsTheWeightedSumOfEverySecondPixel) {
  const Graph graph = parse_graph(
      "name = \"shortcut\"\ninput = [256, 12, 12]\nlayers = [{ conv = 512, kernel = 1, stride = 2 }, "
      "\"global_avg_pool\", \"flatten\", { dense = 7 }]\n",
      "shortcut.toml");
  for (const bool fused : {true, false}) {
    Network network(graph, 3);
    network.set_fused(fused);
    const at::Tensor x = at::sin(at::arange(2 * 256 * 144, at::kDouble) * 0.7).reshape({2, 256, 12, 12}).to(at::kFloat);
    const at::Tensor y = network.forward_until(x, Mode::evaluation, 1)[1].to(at::kDouble);
    const at::Tensor weight = network.tensor("conv1.weight").detach().to(at::kDouble).reshape({512, 256});
    const at::Tensor bias = network.tensor("conv1.bias").detach().to(at::kDouble);
    const at::Tensor read = x.to(at::kDouble).slice(2, 0, {}, 2).slice(3, 0, {}, 2).contiguous();
    const at::Tensor expected = at::einsum("kc,nchw->nkhw", {weight, read}) + bias.reshape({1, 512, 1, 1});
    EXPECT_LT((y - expected).abs().max().item<double>(), 1e-5) << (fused ? "fused" : "plain");
  }
}

}  // namespace
}  // namespace mien::network
