/// Rates of one convolution's four passes, by libtorch and by the kernels of network/convolution*, whose choice between
/// the two rests on this table (docs/performance.md). Built on demand: `ninja -C build convolution_bench`, then
/// `build/bin/convolution_bench [images] [threads]`. Best of seven.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/network/block.h"
#include "mien/network/convolution.h"
#include "mien/network/kernels/convolution_kernels.h"
#include "mien/runtime/tensor_memory.h"

namespace {

using namespace mien::network;

double best_seconds(const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < 8; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i > 0) best = std::min(best, seconds);  // the first warms up
  }
  return best;
}

struct Shape {
  int64_t channels, side, out_channels, kernel;
};

void measure(const Shape& s, int64_t images) {
  const int64_t pad = s.kernel / 2;
  const std::vector<int64_t> padding{pad, pad};
  const auto random = [](std::vector<int64_t> sizes) {
    return at::randn(sizes).contiguous(at::MemoryFormat::ChannelsLast);
  };
  const at::Tensor x = random({images, s.channels, s.side, s.side});
  const at::Tensor weight = random({s.out_channels, s.channels, s.kernel, s.kernel});
  const at::Tensor dy = random({images, s.out_channels, s.side, s.side});
  const at::Tensor bias = at::randn({s.out_channels});
  const double flops = 2.0 * static_cast<double>(images * s.side * s.side * weight.numel());
  PackedWeights cache;
  const auto libtorchs = [&](bool of_x) {
    at::convolution_backward(
        dy, x, weight, at::OptionalIntArrayRef(), {1, 1}, padding, {1, 1}, false, {0, 0}, 1, {of_x, !of_x, false});
  };
  const auto own = [&](bool of_x) {
    const at::AutoGradMode with_gradient(true);
    const at::Tensor leaf = (of_x ? x : weight).detach().requires_grad_(true);
    const at::Tensor y =
        of_x ? run_convolution(leaf, weight, {}, 1, padding, 1) : run_convolution(x, leaf, {}, 1, padding, 1);
    return best_seconds([&] { torch::autograd::grad({y}, {leaf}, {dy}, /*retain_graph=*/true); });
  };
  const auto rate = [&](double seconds) { return 1e-9 * flops / seconds; };
  fmt::print("{:>4} x {:>2} -> {:>4}, {}x{} | {:>8.0f} {:>8.0f} {:>8.0f} | {:>8.0f} {:>8.0f} | {:>8.0f} {:>8.0f}\n",
             s.channels,
             s.side,
             s.out_channels,
             s.kernel,
             s.kernel,
             rate(best_seconds([&] {
               at::conv2d(x, weight, bias, {1, 1}, padding);
             })),
             rate(best_seconds([&] { run_convolution(x, weight, bias, 1, padding, 1); })),
             rate(best_seconds([&] {
               BlockCall relu;
               relu.arguments.after = Activation::relu;
               run_convolution_block({.weight = weight, .bias = bias, .padding = padding}, &relu, x, cache);
             })),
             rate(best_seconds([&] { libtorchs(true); })),
             rate(own(true)),
             rate(best_seconds([&] { libtorchs(false); })),
             rate(own(false)));
}

}  // namespace

int main(int argc, char** argv) {
  mien::runtime::reuse_tensor_memory();
  if (argc > 2) at::set_num_threads(std::atoi(argv[2]));
  const int64_t images = argc > 1 ? std::atoll(argv[1]) : 128;
  const at::NoGradGuard no_grad;
  fmt::print(
      "GFLOP/s, {} images, {} threads\n{:<22} | {:>8} {:>8} {:>8} | {:>8} {:>8} | {:>8} {:>8}\n{:<22} | {:>8} {:>8} "
      "{:>8} | {:>8} {:>8} | {:>8} {:>8}\n",
      images,
      at::get_num_threads(),
      "",
      "y",
      "",
      "relu(y)",
      "dx",
      "",
      "dw",
      "",
      "",
      "libtorch",
      "Mien",
      "Mien",
      "libtorch",
      "Mien",
      "libtorch",
      "Mien");
  for (const Shape& shape : {Shape{1, 48, 32, 5},
                             Shape{32, 24, 64, 3},
                             Shape{64, 12, 128, 3},
                             Shape{128, 6, 128, 3},
                             Shape{64, 24, 128, 5},
                             Shape{128, 12, 256, 5},
                             Shape{64, 48, 64, 3},
                             Shape{128, 24, 128, 3},
                             Shape{256, 12, 256, 3},
                             Shape{512, 6, 512, 3},
                             Shape{512, 3, 512, 3}}) {
    measure(shape, images);
  }
}
