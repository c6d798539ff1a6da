#include "mien/network/library_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace mien::network {
namespace {

constexpr double kLargestError = 1e-4;  // as a share of the largest value; rounding leaves 1e-6

struct Case {
  bool channels_last;
  int64_t images, channels, out_channels, side, kernel, stride, padding;
  int64_t out_side() const { return (side + 2 * padding - kernel) / stride + 1; }
};

// Counts of channels that fill no vector are where a library pads, and where it goes wrong if it does.
constexpr Case kCases[] = {
    {false, 1, 24, 7, 20, 3, 1, 2},
    {false, 3, 3, 5, 12, 3, 1, 0},
    {false, 2, 24, 16, 16, 3, 2, 2},
    {true, 3, 1, 2, 13, 2, 3, 1},
    {true, 2, 16, 16, 8, 3, 1, 1},
    {true, 2, 6, 32, 9, 5, 1, 2},
};

/// Values between -1 and 1 that differ from place to place.
at::Tensor values(at::IntArrayRef shape, double step, bool channels_last) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  const at::Tensor result = at::sin(at::arange(count, at::kDouble) * step).reshape(shape).to(at::kFloat);
  return channels_last ? result.contiguous(at::MemoryFormat::ChannelsLast) : result;
}

struct Results {
  at::Tensor y, dx, dw;
};

Results plain_loops(const Case& c, const at::Tensor& x, const at::Tensor& w, const at::Tensor& dy) {
  const at::Tensor in = x.contiguous().to(at::kDouble);
  const at::Tensor weight = w.contiguous().to(at::kDouble);
  const at::Tensor gradient = dy.contiguous().to(at::kDouble);
  const Results r{at::zeros_like(gradient), at::zeros_like(in), at::zeros_like(weight)};
  const double* const x_at = in.data_ptr<double>();
  const double* const w_at = weight.data_ptr<double>();
  const double* const dy_at = gradient.data_ptr<double>();
  double* const y_at = r.y.data_ptr<double>();
  double* const dx_at = r.dx.data_ptr<double>();
  double* const dw_at = r.dw.data_ptr<double>();
  const int64_t out = c.out_side();
  const auto compute = [&](int64_t image, int64_t k, int64_t row, int64_t column) {
    const int64_t place = ((image * c.out_channels + k) * out + row) * out + column;
    for (int64_t tap = 0; tap < c.channels * c.kernel * c.kernel; ++tap) {
      const int64_t channel = tap / (c.kernel * c.kernel);
      const int64_t in_row = row * c.stride + tap / c.kernel % c.kernel - c.padding;
      const int64_t in_column = column * c.stride + tap % c.kernel - c.padding;
      if (in_row < 0 || in_row >= c.side || in_column < 0 || in_column >= c.side) continue;
      const int64_t from = ((image * c.channels + channel) * c.side + in_row) * c.side + in_column;
      const int64_t by = k * c.channels * c.kernel * c.kernel + tap;
      y_at[place] += x_at[from] * w_at[by];
      dx_at[from] += dy_at[place] * w_at[by];
      dw_at[by] += dy_at[place] * x_at[from];
    }
  };
  for (int64_t image = 0; image < c.images; ++image) {
    for (int64_t k = 0; k < c.out_channels; ++k) {
      for (int64_t pixel = 0; pixel < out * out; ++pixel) compute(image, k, pixel / out, pixel % out);
    }
  }
  return r;
}

bool is_near(const at::Tensor& found, const at::Tensor& expected) {
  const double error = (found.to(at::kDouble) - expected).abs().max().item<double>();
  return error <= kLargestError * expected.abs().max().item<double>();  // false for NaN
}

bool is_right(const Case& c) {
  const at::Tensor x = values({c.images, c.channels, c.side, c.side}, 0.7, c.channels_last);
  const at::Tensor w = values({c.out_channels, c.channels, c.kernel, c.kernel}, 1.3, c.channels_last);
  const at::Tensor dy = values({c.images, c.out_channels, c.out_side(), c.out_side()}, 0.9, c.channels_last);
  const Results expected = plain_loops(c, x, w, dy);
  const std::vector<int64_t> stride{c.stride, c.stride};
  const std::vector<int64_t> padding{c.padding, c.padding};
  for (int turn = 0; turn < 2; ++turn) {  // what is read beyond the data may be zeros at first, by luck
    const at::Tensor y = at::conv2d(x, w, {}, stride, padding);
    const auto [dx, dw, none] = at::convolution_backward(
        dy, x, w, {}, stride, padding, {1, 1}, /*transposed=*/false, {0, 0}, 1, {true, true, false});
    if (!is_near(y, expected.y) || !is_near(dx, expected.dx) || !is_near(dw, expected.dw)) return false;
  }
  return true;
}

}  // namespace

bool library_convolutions_are_right() {
  static const bool result = [] {
    const at::NoGradGuard no_grad;
    return std::all_of(std::begin(kCases), std::end(kCases), is_right);
  }();
  return result;
}

bool avoid_wrong_library_convolutions() {
  const bool right = library_convolutions_are_right();
  if (!right) at::globalContext().setUserEnabledMkldnn(false);
  return right;
}

}  // namespace mien::network
