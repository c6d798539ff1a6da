#pragma once
/// The text of convolution's kernels; compiled as block_kernels_body.h is, and on top of it.

#include "mien/network/kernels/block_kernels_body.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network::MIEN_KERNEL_SET {
namespace {

constexpr int64_t kTileRows = 6;  // taps of a tile of the weight gradient; pixels of one of the forward pass
constexpr int64_t kTileVectors = MIEN_KERNEL_LANES == 16 ? 4 : 2;  // as many as leave registers for the operands
constexpr int64_t kChunkPixels = 288;    // of dy, which stay in the cache while all tiles pass over them
constexpr int64_t kPieceFloats = 12288;  // of weights, which stay in the caches while all pixels pass over them

/// Where the pixels that a tile adds up lie: `groups` images of `rows` rows of `width` pixels.
struct Traversal {
  int64_t groups, rows, width;
  int64_t x_pixel, x_row, x_group;  // steps through x, in floats; dy's pixels follow each other
  int64_t out_channels;
};

template <int64_t tile_rows, int64_t tile_vectors>
void weight_tile(const Traversal& walk, const float* x, const float* dy, float* weight) {
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

using WeightTile = void (*)(const Traversal&, const float*, const float*, float*);

/// What `choose` has for a tile of `rows` by `vectors`, which its template operator() takes as constants.
template <int64_t vectors, class Choose>
auto tile_of(int64_t rows, const Choose& choose) {
  switch (rows) {
    case 1:
      return choose.template operator()<1, vectors>();
    case 2:
      return choose.template operator()<2, vectors>();
    case 3:
      return choose.template operator()<3, vectors>();
    case 4:
      return choose.template operator()<4, vectors>();
    case 5:
      return choose.template operator()<5, vectors>();
    default:
      return choose.template operator()<kTileRows, vectors>();
  }
}

template <class Choose>
auto tile_of(int64_t rows, int64_t vectors, const Choose& choose) {
  constexpr int64_t kThree = kTileVectors < 3 ? kTileVectors : 3;
  switch (vectors) {
    case 1:
      return tile_of<1>(rows, choose);
    case 2:
      return tile_of<2>(rows, choose);
    case 3:
      return tile_of<kThree>(rows, choose);
    default:
      return tile_of<kTileVectors>(rows, choose);
  }
}

WeightTile weight_tile_of(int64_t rows, int64_t vectors) {
  return tile_of(rows, vectors, []<int64_t r, int64_t v>() -> WeightTile { return weight_tile<r, v>; });
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
      const Traversal walk{.groups = groups,
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

/// Taps that follow one another in x: `rows` kernel rows of `length` floats, `row_step` floats apart.
struct Piece {
  int64_t rows, length, row_step;
};

/// Adds one piece's products to a tile of the output; the first piece's to the bias at `start` instead (nullptr: to 0).
template <int64_t pixels, int64_t vectors>
void forward_tile(const Piece& piece,
                  const float* x,
                  const int64_t* places,
                  const float* weight,
                  bool is_first,
                  const float* start,
                  float* y,
                  int64_t y_step) {
  const float* p[pixels];
#pragma GCC unroll 8
  for (int64_t i = 0; i < pixels; ++i) p[i] = x + places[i];
  V sum[pixels][vectors];
#pragma GCC unroll 8
  for (int64_t v = 0; v < vectors; ++v) {
    if (is_first) {
      const V bias = start == nullptr ? V{} : load(start + v * kLanes, AllLanes{});
#pragma GCC unroll 8
      for (int64_t i = 0; i < pixels; ++i) sum[i][v] = bias;
    } else {
#pragma GCC unroll 8
      for (int64_t i = 0; i < pixels; ++i) sum[i][v] = load(y + i * y_step + v * kLanes, AllLanes{});
    }
  }
  for (int64_t row = 0; row < piece.rows; ++row) {
    for (int64_t tap = 0; tap < piece.length; ++tap) {
      V w[vectors];
#pragma GCC unroll 8
      for (int64_t v = 0; v < vectors; ++v) w[v] = load(weight + v * kLanes, AllLanes{});
#pragma GCC unroll 8
      for (int64_t i = 0; i < pixels; ++i) {
        const V factor = all(p[i][tap]);
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; ++v) sum[i][v] += factor * w[v];
      }
      weight += vectors * kLanes;
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < pixels; ++i) p[i] += piece.row_step;
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < pixels; ++i) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < vectors; ++v) store(y + i * y_step + v * kLanes, sum[i][v], AllLanes{});
  }
}

using ForwardTile =
    void (*)(const Piece&, const float*, const int64_t*, const float*, bool, const float*, float*, int64_t);

ForwardTile forward_tile_of(int64_t pixels, int64_t vectors) {
  return tile_of(pixels, vectors, []<int64_t p, int64_t v>() -> ForwardTile { return forward_tile<p, v>; });
}

/// One block of output channels of all pixels of a unit, whose padded input lies at `padded` and whose pixels start at
/// `places` in it.
void forward_block(const ConvolutionArguments& c,
                   const float* padded,
                   const int64_t* places,
                   int64_t pixels,
                   const float* weight,
                   const float* bias,
                   int64_t vectors,
                   float* y,
                   int64_t y_step) {
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t run = c.kernel_width * c.channels;  // the taps of one kernel row follow each other in x
  const int64_t most = kPieceFloats / (vectors * kLanes);
  const int64_t pieces = (run + most - 1) / most;
  const int64_t rows_a_piece = run < most ? most / run : 1;
  const ForwardTile whole = forward_tile_of(kTileRows, vectors);
  const ForwardTile rest = forward_tile_of(pixels % kTileRows, vectors);
  for (int64_t row = 0; row < c.kernel_height; row += rows_a_piece) {
    const int64_t rows = c.kernel_height - row < rows_a_piece ? c.kernel_height - row : rows_a_piece;
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t from = run * i / pieces;
      const Piece piece{.rows = rows, .length = run * (i + 1) / pieces - from, .row_step = padded_width};
      const float* const x = padded + row * padded_width + from;
      const bool is_first = row == 0 && i == 0;
      int64_t pixel = 0;
      for (; pixel + kTileRows <= pixels; pixel += kTileRows) {
        whole(piece, x, places + pixel, weight, is_first, bias, y + pixel * y_step, y_step);
      }
      if (pixel < pixels) rest(piece, x, places + pixel, weight, is_first, bias, y + pixel * y_step, y_step);
      weight += piece.rows * piece.length * vectors * kLanes;
    }
  }
}

void convolve(const ConvolutionArguments& given,
              const ConvolutionUnit& unit,
              const float* x,
              const float* packed,
              const float* bias,
              float* y,
              int64_t y_step) {
  const ConvolutionArguments c = given;
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t x_rows = (unit.rows() - 1) * c.stride + c.kernel_height;
  const int64_t pixels = unit.images() * unit.rows() * c.out_width;
  Scratch scratch(unit.images() * x_rows * padded_width + 2 * pixels + 2);
  auto* const places = reinterpret_cast<int64_t*>(scratch.take(2 * pixels + 2));
  float* const padded = scratch.take(0);
  int64_t* place = places;
  for (int64_t image = 0; image < unit.images(); ++image) {
    const float* const source = x + (unit.image_begin + image) * c.height * c.width * c.channels;
    copy_padded(c, source, unit.row_begin * c.stride, x_rows, padded + image * x_rows * padded_width);
    for (int64_t row = 0; row < unit.rows(); ++row) {
      const int64_t line = (image * x_rows + row * c.stride) * padded_width;
      for (int64_t column = 0; column < c.out_width; ++column) *place++ = line + column * c.stride * c.channels;
    }
  }
  for (int64_t k = unit.channel_begin; k < unit.channel_end;) {
    const int64_t left = (unit.channel_end - k) / kLanes;
    const int64_t vectors = left < kTileVectors ? left : kTileVectors;
    const float* const own_bias = bias == nullptr ? nullptr : bias + k;
    forward_block(
        c, padded, places, pixels, packed + k * c.taps(), own_bias, vectors, y + (k - unit.channel_begin), y_step);
    k += vectors * kLanes;
  }
}

}  // namespace

extern const ConvolutionKernels kConvolutionKernels;
const ConvolutionKernels kConvolutionKernels{kLanes, kTileVectors* kLanes, convolve, weight_gradient};

}  // namespace mien::network::MIEN_KERNEL_SET
