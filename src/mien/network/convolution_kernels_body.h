#pragma once
/// The text of convolution's kernels; compiled as block_kernels_body.h is, and on top of it.

#include "mien/network/block_kernels_body.h"
#include "mien/network/convolution_kernels.h"

namespace mien::network::MIEN_KERNEL_SET {
namespace {

constexpr int64_t kTileRows = 6;      // taps of a tile of the weight gradient; pixels of one of few_channels
constexpr int64_t kTileVectors = MIEN_KERNEL_LANES == 16 ? 4 : 2;  // as many as leave registers for the operands
constexpr int64_t kChunkPixels = 288;  // of dy, which stay in the cache while all tiles pass over them

/// Where the pixels that a tile adds up lie: `groups` images of `rows` rows of `width` pixels.
struct Walk {
  int64_t groups, rows, width;
  int64_t x_pixel, x_row, x_group;  // steps through x, in floats; dy's pixels follow each other
  int64_t out_channels;
};

template <int64_t tile_rows, int64_t tile_vectors>
void weight_tile(const Walk& walk, const float* x, const float* dy, float* weight) {
  V sum[tile_rows][tile_vectors] = {};
  for (int64_t group = 0; group < walk.groups; ++group) {
    for (int64_t row = 0; row < walk.rows; ++row) {
      const float* p = x + group * walk.x_group + row * walk.x_row;
      for (int64_t i = 0; i < walk.width; ++i) {
        V d[tile_vectors];
#pragma GCC unroll 8
        for (int64_t v = 0; v < tile_vectors; ++v) d[v] = load(dy + v * kLanes, AllLanes{});
#pragma GCC unroll 8
        for (int64_t r = 0; r < tile_rows; ++r) {
          const V factor = all(p[r]);
#pragma GCC unroll 8
          for (int64_t v = 0; v < tile_vectors; ++v) sum[r][v] += factor * d[v];
        }
        p += walk.x_pixel;
        dy += walk.out_channels;
      }
    }
  }
#pragma GCC unroll 8
  for (int64_t r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < tile_vectors; ++v) {
      float* const w = weight + r * walk.out_channels + v * kLanes;
      store(w, load(w, AllLanes{}) + sum[r][v], AllLanes{});
    }
  }
}

using WeightTile = void (*)(const Walk&, const float*, const float*, float*);

template <int64_t tile_vectors>
WeightTile weight_tile_of(int64_t tile_rows) {
  switch (tile_rows) {
    case 1: return weight_tile<1, tile_vectors>;
    case 2: return weight_tile<2, tile_vectors>;
    case 3: return weight_tile<3, tile_vectors>;
    case 4: return weight_tile<4, tile_vectors>;
    case 5: return weight_tile<5, tile_vectors>;
    default: return weight_tile<6, tile_vectors>;
  }
}

WeightTile weight_tile_of(int64_t tile_rows, int64_t tile_vectors) {
  switch (tile_vectors) {
    case 1: return weight_tile_of<1>(tile_rows);
    case 2: return weight_tile_of<2>(tile_rows);
    case 3: return weight_tile_of<kTileVectors < 3 ? kTileVectors : 3>(tile_rows);
    default: return weight_tile_of<kTileVectors>(tile_rows);
  }
}

/// Rows [first, first + rows) of one padded image, counted with the padding, to `to` [rows, width + 2 pad_width, C].
void copy_padded(const ConvolutionArguments& c, const float* image, int64_t first, int64_t rows, float* to) {
  const int64_t padded = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t side = c.pad_width * c.channels;
  const int64_t inside = c.width * c.channels;
  for (int64_t row = 0; row < rows; ++row) {
    float* const line = to + row * padded;
    const int64_t source = first + row - c.pad_height;
    if (source < 0 || source >= c.height) {
      for (int64_t i = 0; i < padded; ++i) line[i] = 0;
      continue;
    }
    for (int64_t i = 0; i < side; ++i) line[i] = 0;
    __builtin_memcpy(line + side, image + source * inside, sizeof(float) * static_cast<size_t>(inside));
    for (int64_t i = side + inside; i < padded; ++i) line[i] = 0;
  }
}

void weight_gradient(const ConvolutionArguments& given,
                     const float* x,
                     const float* dy,
                     int64_t begin,
                     int64_t end,
                     float* weight,
                     float* bias) {
  const ConvolutionArguments c = given;
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  // Small images together, large ones in bands of rows.
  const int64_t most_groups = c.out_pixels() >= kChunkPixels ? 1 : kChunkPixels / c.out_pixels();
  int64_t band = c.out_pixels() >= kChunkPixels ? kChunkPixels / c.out_width : c.out_height;
  if (band < 1) band = 1;
  const int64_t x_rows_of_band = (band - 1) * c.stride + c.kernel_height;
  Scratch scratch(most_groups * x_rows_of_band * padded_width);
  float* const padded = scratch.take(0);
  const int64_t run = c.kernel_width * c.channels;  // the taps of one kernel row follow each other in x
  const int64_t tiles = (run + kTileRows - 1) / kTileRows;
  for (int64_t image = begin; image < end; image += most_groups) {
    const int64_t groups = end - image < most_groups ? end - image : most_groups;
    for (int64_t first = 0; first < c.out_height; first += band) {
      const int64_t rows = c.out_height - first < band ? c.out_height - first : band;
      const int64_t x_rows = (rows - 1) * c.stride + c.kernel_height;
      for (int64_t group = 0; group < groups; ++group) {
        const float* const source = x + (image + group) * c.height * c.width * c.channels;
        copy_padded(c, source, first * c.stride, x_rows, padded + group * x_rows * padded_width);
      }
      const Walk walk{.groups = groups,
                      .rows = rows,
                      .width = c.out_width,
                      .x_pixel = c.stride * c.channels,
                      .x_row = c.stride * padded_width,
                      .x_group = x_rows * padded_width,
                      .out_channels = c.out_channels};
      const float* const d = dy + (image * c.out_height + first) * c.out_width * c.out_channels;
      if (bias != nullptr) {
        for (int64_t pixel = 0; pixel < groups * rows * c.out_width; ++pixel) {
          const float* const line = d + pixel * c.out_channels;
          for (int64_t k = 0; k < c.out_channels; k += kLanes) {
            store(bias + k, load(bias + k, AllLanes{}) + load(line + k, AllLanes{}), AllLanes{});
          }
        }
      }
      for (int64_t k = 0; k < c.out_channels;) {
        const int64_t left = (c.out_channels - k) / kLanes;
        const int64_t vectors = left < kTileVectors ? left : kTileVectors;
        for (int64_t y = 0; y < c.kernel_height; ++y) {
          for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t from = run * tile / tiles;
            const int64_t to = run * (tile + 1) / tiles;
            weight_tile_of(to - from, vectors)(
                walk, padded + y * padded_width + from, d + k, weight + (y * run + from) * c.out_channels + k);
          }
        }
        k += vectors * kLanes;
      }
    }
  }
}

template <int64_t pixels, int64_t vectors>
void few_channels_tile(const ConvolutionArguments& c,
                       const float* x,
                       int64_t padded_width,
                       const float* weight,
                       const float* bias,
                       float* y) {
  V sum[pixels][vectors];
#pragma GCC unroll 8
  for (int64_t v = 0; v < vectors; ++v) {
    const V start = bias == nullptr ? V{} : load(bias + v * kLanes, AllLanes{});
#pragma GCC unroll 8
    for (int64_t i = 0; i < pixels; ++i) sum[i][v] = start;
  }
  const int64_t run = c.kernel_width * c.channels;
  const int64_t step = c.stride * c.channels;
  for (int64_t row = 0; row < c.kernel_height; ++row) {
    const float* const p = x + row * padded_width;
    for (int64_t tap = 0; tap < run; ++tap) {
      V w[vectors];
#pragma GCC unroll 8
      for (int64_t v = 0; v < vectors; ++v) w[v] = load(weight + v * kLanes, AllLanes{});
#pragma GCC unroll 8
      for (int64_t i = 0; i < pixels; ++i) {
        const V factor = all(p[tap + i * step]);
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; ++v) sum[i][v] += factor * w[v];
      }
      weight += c.out_channels;
    }
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < pixels; ++i) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < vectors; ++v) store(y + i * c.out_channels + v * kLanes, sum[i][v], AllLanes{});
  }
}

template <int64_t vectors>
void few_channels_row(const ConvolutionArguments& c,
                      const float* x,
                      int64_t padded_width,
                      const float* weight,
                      const float* bias,
                      float* y) {
  const int64_t step = c.stride * c.channels;
  int64_t column = 0;
  for (; column + kTileRows <= c.out_width; column += kTileRows) {
    few_channels_tile<kTileRows, vectors>(c, x + column * step, padded_width, weight, bias, y + column * c.out_channels);
  }
  for (; column < c.out_width; ++column) {
    few_channels_tile<1, vectors>(c, x + column * step, padded_width, weight, bias, y + column * c.out_channels);
  }
}

void few_channels(const ConvolutionArguments& given,
                  const float* x,
                  const float* weight,
                  const float* bias,
                  int64_t begin,
                  int64_t end,
                  float* y) {
  const ConvolutionArguments c = given;
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t padded_height = c.height + 2 * c.pad_height;
  Scratch scratch(padded_height * padded_width);
  float* const padded = scratch.take(0);
  for (int64_t image = begin; image < end; ++image) {
    copy_padded(c, x + image * c.height * c.width * c.channels, 0, padded_height, padded);
    for (int64_t row = 0; row < c.out_height; ++row) {
      float* const line = y + (image * c.out_height + row) * c.out_width * c.out_channels;
      const float* const source = padded + row * c.stride * padded_width;
      for (int64_t k = 0; k < c.out_channels;) {
        const int64_t left = (c.out_channels - k) / kLanes;
        const float* const b = bias == nullptr ? nullptr : bias + k;
        if (left >= kTileVectors) {
          few_channels_row<kTileVectors>(c, source, padded_width, weight + k, b, line + k);
          k += kTileVectors * kLanes;
        } else if (left >= 2) {
          few_channels_row<2>(c, source, padded_width, weight + k, b, line + k);
          k += 2 * kLanes;
        } else {
          few_channels_row<1>(c, source, padded_width, weight + k, b, line + k);
          k += kLanes;
        }
      }
    }
  }
}

}  // namespace

extern const ConvolutionKernels kConvolutionKernels;
const ConvolutionKernels kConvolutionKernels{kLanes, weight_gradient, few_channels};

}  // namespace mien::network::MIEN_KERNEL_SET
