#pragma once
/// The kernels' text, compiled once for each instruction set into a namespace of its own (MIEN_KERNEL_SET), for maps of
/// MIEN_KERNEL_ELEMENT (float or Bf16). Nothing of the standard library that could end up as a shared function: the
/// linker would keep one copy, of any set.

#include "mien/network/kernels/vectors_body.h"

namespace mien::network::MIEN_KERNEL_SET {
namespace {

using Element = MIEN_KERNEL_ELEMENT;

constexpr int64_t kPartRows = 32;  // pixels added up in float32 before float64 takes over

// ---- random bits ----

struct Words {
  uint32_t w0, w1, w2, w3;
};

MIEN_INLINE Words philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t key0, uint32_t key1) {
  Words w{c0, c1, c2, 0};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = static_cast<uint64_t>(0xD2511F53U) * w.w0;
    const uint64_t second = static_cast<uint64_t>(0xCD9E8D57U) * w.w2;
    w = {static_cast<uint32_t>(second >> 32) ^ w.w1 ^ key0,
         static_cast<uint32_t>(second),
         static_cast<uint32_t>(first >> 32) ^ w.w3 ^ key1,
         static_cast<uint32_t>(first)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return w;
}

/// 64 elements share 16 calls of the generator: element 64 b + 16 w + i is word w of counter 16 b + i.
void keep(const DropoutKey& key, int64_t begin, int64_t end, float* out) {
  begin += key.first;
  end += key.first;
  const double share = static_cast<double>(key.probability) * 4294967296.0;
  const uint32_t threshold = share >= 4294967295.0 ? 4294967295U : static_cast<uint32_t>(share + 0.5);
  const float factor = key.probability < 1.0F ? 1.0F / (1.0F - key.probability) : 0.0F;
  const auto key0 = static_cast<uint32_t>(key.seed);
  const auto key1 = static_cast<uint32_t>(key.seed >> 32);
  alignas(64) float values[64];
  for (int64_t block = begin / 64; block * 64 < end; ++block) {
    const auto counter = static_cast<uint64_t>(block) * 16;
    const auto low = static_cast<uint32_t>(counter);
    const auto high = static_cast<uint32_t>(counter >> 32);
    const bool is_whole = block * 64 >= begin && block * 64 + 64 <= end;
    float* const to = is_whole ? out + (block * 64 - begin) : values;
#pragma GCC ivdep
    for (uint32_t i = 0; i < 16; ++i) {
      const Words w = philox(low + i, high, key.layer, key0, key1);
      to[i] = w.w0 >= threshold ? factor : 0.0F;
      to[16 + i] = w.w1 >= threshold ? factor : 0.0F;
      to[32 + i] = w.w2 >= threshold ? factor : 0.0F;
      to[48 + i] = w.w3 >= threshold ? factor : 0.0F;
    }
    if (is_whole) continue;
    for (int64_t i = 0; i < 64; ++i) {
      const int64_t element = block * 64 + i;
      if (element >= begin && element < end) out[element - begin] = values[i];
    }
  }
}

// ---- activations ----

/// e^x for x <= 88, within 2 units in the last place. @source Cephes expf (Moshier): its reduction and polynomial
MIEN_INLINE V exponential(V x) {
  x = x < -87.0F ? all(-87.0F) : x;
  x = x > 88.0F ? all(88.0F) : x;
  const V scaled = x * 1.44269504088896341F;
  const I n = __builtin_convertvector(scaled + (scaled < 0.0F ? all(-0.5F) : all(0.5F)), I);
  const V whole = __builtin_convertvector(n, V);
  const V r = (x - whole * 0.693359375F) + whole * 2.12194440e-4F;
  V p = all(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  return p * reinterpret_cast<V>((n + 127) << 23);
}

MIEN_INLINE V logistic(V x) { return 1.0F / (1.0F + exponential(-x)); }

// Comparisons are written so that a value that is not a number stays one, as in libtorch.
template <Activation kind>
MIEN_INLINE V activate(V x, float slope) {
  if constexpr (kind == Activation::relu) return x < 0.0F ? V{} : x;
  if constexpr (kind == Activation::leaky_relu) return x < 0.0F ? x * slope : x;
  if constexpr (kind == Activation::silu) return x != x ? x : x * logistic(x);
  return x;
}

/// dy times the activation's derivative at x.
template <Activation kind>
MIEN_INLINE V derive(V dy, V x, float slope) {
  if constexpr (kind == Activation::relu) return x <= 0.0F ? V{} : dy;
  if constexpr (kind == Activation::leaky_relu) return x > 0.0F ? dy : dy * slope;
  if constexpr (kind == Activation::silu) {
    const V s = logistic(x);
    return dy * (s * (1.0F + x * (1.0F - s)));
  }
  return dy;
}

/// The larger of a pool's values so far and the next: the first of equals, and what is not a number wins.
MIEN_INLINE I wins(V next, V best) { return (next > best) | (next != next); }

/// Where in x the window of an output pixel starts.
MIEN_INLINE int64_t window_start(const BlockArguments& b, int64_t unit, int64_t column) {
  const int64_t image = unit / b.out_height;
  const int64_t row = (unit - image * b.out_height) * b.pool;
  return ((image * b.height + row) * b.width + column * b.pool) * b.channels;
}

// ---- statistics ----

template <Activation before>
void statistics_of(const BlockArguments& b, int64_t begin, int64_t end, double* sums) {
  const int64_t channels = b.channels;
  const float slope = b.before_slope;
  const auto* const all_x = static_cast<const Element*>(b.x);
  for (int64_t first = begin; first < end; first += kPartRows) {
    const int64_t count = end - first < kPartRows ? end - first : kPartRows;
    const Element* const x = all_x + first * channels;
    const float share = 1.0F / static_cast<float>(count);
    const auto rows = static_cast<double>(count);
    MIEN_VECTORS(channels) {
      V sum{};
      for (int64_t i = 0; i < count; ++i) sum += activate<before>(load(x + i * channels + c, n), slope);
      const V mean = sum * share;
      V square{};
      for (int64_t i = 0; i < count; ++i) {
        const V difference = activate<before>(load(x + i * channels + c, n), slope) - mean;
        square += difference * difference;
      }
      // sum of u^2 = sum of (u - m)^2 + m (2 sum of u - n m), for any m
      const D m = wide(mean);
      const D s = wide(sum);
      add_to(sums + c, s, n);
      add_to(sums + channels + c, wide(square) + m * (2.0 * s - rows * m), n);
    });
  }
}

// ---- forward ----

template <bool normalizes, Activation before, Activation after>
struct BlockLayout {
  static constexpr bool kNormalizes = normalizes;
  static constexpr Activation kBefore = before;
  static constexpr Activation kAfter = after;
  const float* scale;
  const float* shift;
  float before_slope, after_slope;

  explicit BlockLayout(const BlockArguments& b)
      : scale(b.scale), shift(b.shift), before_slope(b.before_slope), after_slope(b.after_slope) {}
  MIEN_INLINE V u(V x) const { return activate<before>(x, before_slope); }
  template <class N>
  MIEN_INLINE V z(V u_value, int64_t c, N n) const {
    if constexpr (normalizes) return load(scale + c, n) * u_value + load(shift + c, n);
    return u_value;
  }
  MIEN_INLINE V v(V z_value) const { return activate<after>(z_value, after_slope); }
  MIEN_INLINE V dz(V dv, V z_value) const { return derive<after>(dv, z_value, after_slope); }
};

template <class F>
void forward_of(const BlockArguments& block, int64_t begin, int64_t end, Element* output) {
  const BlockArguments b = block;  // a copy, which nothing written through a float* can change
  const auto* const all_x = static_cast<const Element*>(b.x);
  const auto* const all_residual = static_cast<const Element*>(b.residual);
  const int64_t channels = b.channels;
  const F form(b);
  const int64_t row = b.width * channels;
  const int64_t out_row = b.out_width * channels;
  const bool drops = b.dropout.probability > 0;
  Scratch scratch(drops ? out_row : 0);
  float* const kept = scratch.take(0);
  for (int64_t unit = begin; unit < end; ++unit) {
    Element* const line = output + unit * out_row;
    for (int64_t column = 0; column < b.out_width; ++column) {
      Element* const o = line + column * channels;
      const int64_t at = window_start(b, unit, column);
      const Element* const p = all_x + at;
      if (b.pool == 1 && b.residual != nullptr) {
        const Element* const r = all_residual + at;
        MIEN_VECTORS(channels) { store(o + c, form.v(form.z(form.u(load(p + c, n)), c, n) + load(r + c, n)), n); });
      } else if (b.pool == 1) {
        MIEN_VECTORS(channels) { store(o + c, form.v(form.z(form.u(load(p + c, n)), c, n)), n); });
      } else {
        MIEN_VECTORS(channels) {
          V best = form.v(form.z(form.u(load(p + c, n)), c, n));
          for (int64_t y = 0; y < b.pool; ++y) {
            for (int64_t x = y == 0 ? 1 : 0; x < b.pool; ++x) {
              const V next = form.v(form.z(form.u(load(p + y * row + x * channels + c, n)), c, n));
              best = wins(next, best) ? next : best;
            }
          }
          store(o + c, best, n);
        });
      }
    }
    if (!drops) continue;
    keep(b.dropout, unit * out_row, (unit + 1) * out_row, kept);
    MIEN_VECTORS(out_row) { store(line + c, load(line + c, n) * load(kept + c, n), n); });
  }
}

// ---- backward ----

/// dL/dy of one unit: the output's gradient through dropout. `kept` has room for a row, and `buffer` for one, too.
MIEN_INLINE const Element* pooled_gradient(
    const BlockArguments& b, const void* gradient, int64_t unit, float* kept, Element* buffer) {
  const int64_t out_row = b.out_width * b.channels;
  const Element* const g = static_cast<const Element*>(gradient) + unit * out_row;
  if (!(b.dropout.probability > 0)) return g;
  keep(b.dropout, unit * out_row, (unit + 1) * out_row, kept);
  MIEN_VECTORS(out_row) { store(buffer + c, load(kept + c, n) * load(g + c, n), n); });
  return buffer;
}

/// One window's winner: its u, its z, and which pixel it is.
struct Winner {
  V u, z;
  I pixel;
};
template <class F, class N>
MIEN_INLINE Winner find_winner(const BlockArguments& b, const F& form, const Element* p, int64_t c, N n) {
  const int64_t row = b.width * b.channels;
  Winner w;
  w.u = form.u(load(p + c, n));
  w.z = form.z(w.u, c, n);
  w.pixel = I{};
  V best = form.v(w.z);
  for (int64_t y = 0; y < b.pool; ++y) {
    for (int64_t x = y == 0 ? 1 : 0; x < b.pool; ++x) {
      const V u = form.u(load(p + y * row + x * b.channels + c, n));
      const V z = form.z(u, c, n);
      const V v = form.v(z);
      const I better = wins(v, best);
      best = better ? v : best;
      w.u = better ? u : w.u;
      w.z = better ? z : w.z;
      w.pixel = better ? I{} + static_cast<int32_t>(y * b.pool + x) : w.pixel;
    }
  }
  return w;
}

template <class F>
void backward_sums_of(const BlockArguments& block, const BlockGradients& g, int64_t begin, int64_t end, double* sums) {
  const BlockArguments b = block;
  const int64_t channels = b.channels;
  const F form(b);
  const auto* const all_x = static_cast<const Element*>(b.x);
  const auto* const all_residual = static_cast<const Element*>(b.residual);
  Scratch scratch(2 * b.out_width * channels + 2 * channels);
  float* const sum = scratch.take(channels);
  float* const product = scratch.take(channels);
  float* const kept = scratch.take(b.out_width * channels);
  auto* const buffer = reinterpret_cast<Element*>(scratch.take(0));
  for (int64_t i = 0; i < 2 * channels; ++i) sum[i] = 0;
  int64_t pending = 0;
  const auto flush = [&] {
    for (int64_t i = 0; i < channels; ++i) {
      sums[i] += static_cast<double>(sum[i]);
      sums[channels + i] += static_cast<double>(product[i]);
      sum[i] = 0;
      product[i] = 0;
    }
    pending = 0;
  };
  for (int64_t unit = begin; unit < end; ++unit) {
    const Element* const line = pooled_gradient(b, g.output, unit, kept, buffer);
    for (int64_t column = 0; column < b.out_width; ++column) {
      const Element* const d = line + column * channels;
      const int64_t at = window_start(b, unit, column);
      const Element* const p = all_x + at;
      const auto add = [&](V u, V z, int64_t c, auto n) __attribute__((always_inline)) {
        const V dz = form.dz(load(d + c, n), z);
        const V normal = (u - load(b.mean + c, n)) * load(b.inverse_deviation + c, n);
        store(sum + c, load(sum + c, n) + dz, n);
        store(product + c, load(product + c, n) + dz * normal, n);
      };
      if (b.pool > 1) {
        MIEN_VECTORS(channels) {
          const Winner w = find_winner(b, form, p, c, n);
          add(w.u, w.z, c, n);
        });
      } else {
        const Element* const r = all_residual == nullptr ? nullptr : all_residual + at;
        MIEN_VECTORS(channels) {
          const V u = form.u(load(p + c, n));
          V z = form.z(u, c, n);
          if (r != nullptr) z += load(r + c, n);
          add(u, z, c, n);
        });
      }
      if (++pending == kPartRows) flush();
    }
  }
  flush();
}

/// dL/dx of one pixel from dL/dz, through normalization and the first activation.
template <class F, class N>
MIEN_INLINE V
input_gradient(const F& form, const BlockArguments& b, const BlockGradients& g, V x, V u, V dz, int64_t c, N n) {
  V du = dz;
  if constexpr (F::kNormalizes) {
    du = load(form.scale + c, n) * dz + (load(g.constant + c, n) + load(g.linear + c, n) * (u - load(b.mean + c, n)));
  }
  return derive<F::kBefore>(du, x, form.before_slope);
}

/// Pixels in no window: they have no part in the output, but a part in the statistics.
template <class F>
void backward_outside(const F& form, const BlockArguments& b, const BlockGradients& g, int64_t at, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i) {
    const Element* const p = static_cast<const Element*>(b.x) + at + i * b.channels;
    Element* const o = static_cast<Element*>(g.x) + at + i * b.channels;
    MIEN_VECTORS(b.channels) {
      const V x = load(p + c, n);
      store(o + c, input_gradient(form, b, g, x, form.u(x), V{}, c, n), n);
    });
  }
}

template <class F>
void backward_of(const BlockArguments& block, const BlockGradients& gradients, int64_t begin, int64_t end) {
  const BlockArguments b = block;
  const BlockGradients g = gradients;
  const int64_t channels = b.channels;
  const F form(b);
  const int64_t row = b.width * channels;
  const auto* const all_x = static_cast<const Element*>(b.x);
  const auto* const all_residual = static_cast<const Element*>(b.residual);
  auto* const x_gradient = static_cast<Element*>(g.x);
  auto* const residual_gradient = static_cast<Element*>(g.residual);
  Scratch scratch(2 * b.out_width * channels);
  float* const kept = scratch.take(b.out_width * channels);
  auto* const buffer = reinterpret_cast<Element*>(scratch.take(0));
  for (int64_t unit = begin; unit < end; ++unit) {
    const Element* const line = pooled_gradient(b, g.output, unit, kept, buffer);
    for (int64_t column = 0; column < b.out_width; ++column) {
      const Element* const d = line + column * channels;
      const int64_t at = window_start(b, unit, column);
      const Element* const p = all_x + at;
      Element* const o = x_gradient + at;
      if (b.pool > 1) {
        MIEN_VECTORS(channels) {
          const Winner w = find_winner(b, form, p, c, n);
          const V dz = form.dz(load(d + c, n), w.z);
          for (int64_t i = 0; i < b.pool; ++i) {
            for (int64_t j = 0; j < b.pool; ++j) {
              const int64_t pixel = i * row + j * channels + c;
              const V x = load(p + pixel, n);
              const V own = w.pixel == static_cast<int32_t>(i * b.pool + j) ? dz : V{};
              store(o + pixel, input_gradient(form, b, g, x, form.u(x), own, c, n), n);
            }
          }
        });
      } else {
        const Element* const r = all_residual == nullptr ? nullptr : all_residual + at;
        Element* const dr = residual_gradient == nullptr ? nullptr : residual_gradient + at;
        MIEN_VECTORS(channels) {
          const V x = load(p + c, n);
          const V u = form.u(x);
          V z = form.z(u, c, n);
          if (r != nullptr) z += load(r + c, n);
          const V dz = form.dz(load(d + c, n), z);
          if (dr != nullptr) store(dr + c, dz, n);
          store(o + c, input_gradient(form, b, g, x, u, dz, c, n), n);
        });
      }
    }
    if (b.pool == 1) continue;
    const int64_t right = b.width - b.out_width * b.pool;
    const int64_t start = window_start(b, unit, 0);
    for (int64_t i = 0; i < b.pool && right > 0; ++i) {
      backward_outside(form, b, g, start + i * row + b.out_width * b.pool * channels, right);
    }
    const bool is_last = unit % b.out_height == b.out_height - 1;
    const int64_t below = b.height - b.out_height * b.pool;
    if (is_last && below > 0) backward_outside(form, b, g, start + b.pool * row, below * b.width);
  }
}

// ---- choice of the form ----

/// Runs action.template operator()<F>() for the block's form. An activation on both sides of the normalization is not
/// in the list: the plan makes no such block.
template <class Action>
void with_form(const BlockArguments& b, const Action& action) {
  using enum Activation;
  if (!b.normalizes) {
    if (b.after == relu) return action.template operator()<BlockLayout<false, none, relu>>();
    if (b.after == leaky_relu) return action.template operator()<BlockLayout<false, none, leaky_relu>>();
    if (b.after == silu) return action.template operator()<BlockLayout<false, none, silu>>();
    return action.template operator()<BlockLayout<false, none, none>>();
  }
  if (b.before == relu) return action.template operator()<BlockLayout<true, relu, none>>();
  if (b.before == leaky_relu) return action.template operator()<BlockLayout<true, leaky_relu, none>>();
  if (b.before == silu) return action.template operator()<BlockLayout<true, silu, none>>();
  if (b.after == relu) return action.template operator()<BlockLayout<true, none, relu>>();
  if (b.after == leaky_relu) return action.template operator()<BlockLayout<true, none, leaky_relu>>();
  if (b.after == silu) return action.template operator()<BlockLayout<true, none, silu>>();
  return action.template operator()<BlockLayout<true, none, none>>();
}

void statistics(const BlockArguments& b, int64_t begin, int64_t end, double* sums) {
  switch (b.before) {
    case Activation::relu:
      return statistics_of<Activation::relu>(b, begin, end, sums);
    case Activation::leaky_relu:
      return statistics_of<Activation::leaky_relu>(b, begin, end, sums);
    case Activation::silu:
      return statistics_of<Activation::silu>(b, begin, end, sums);
    case Activation::none:
      return statistics_of<Activation::none>(b, begin, end, sums);
  }
}

void forward(const BlockArguments& b, int64_t begin, int64_t end, void* output) {
  with_form(b, [&]<class F>() { forward_of<F>(b, begin, end, static_cast<Element*>(output)); });
}

void backward_sums(const BlockArguments& b, const BlockGradients& g, int64_t begin, int64_t end, double* sums) {
  with_form(b, [&]<class F>() { backward_sums_of<F>(b, g, begin, end, sums); });
}

void backward(const BlockArguments& b, const BlockGradients& g, int64_t begin, int64_t end) {
  with_form(b, [&]<class F>() { backward_of<F>(b, g, begin, end); });
}

}  // namespace

extern const BlockKernels kKernels;
const BlockKernels kKernels{MIEN_KERNEL_NAME, statistics, forward, backward_sums, backward, keep};

}  // namespace mien::network::MIEN_KERNEL_SET
