#pragma once
/// The text of convolution's kernels; compiled as block_kernels_body.h is, and on top of it.

#include "mien/network/kernels/block_kernels_body.h"
#include "mien/network/kernels/convolution_kernels.h"

namespace mien::network::MIEN_KERNEL_SET {
namespace {

constexpr int64_t kTileVectors = MIEN_KERNEL_LANES == 16 ? 4 : 2;  // as many as leave registers for the operands
constexpr int64_t kChunkPixels = 288;   // of dy, which stay in the cache while all tiles pass over them
constexpr int64_t kPieceWords = 12288;  // of weights, which stay in the caches while all pixels pass over them

/// Taps of a tile of the weight gradient, or pixels of one of the forward pass: as many as registers hold sums of.
constexpr int64_t tile_rows(int64_t vectors) {
  if (MIEN_KERNEL_LANES < 16) return 6;
  return vectors > 3 ? 6 : vectors == 3 ? 8 : 12;
}

// A word is what one lane multiplies in one step: a float, or two Bf16, of which the sum takes the second one's product
// first, each rounded by itself, as VDPBF16PS does.

#if MIEN_KERNEL_IS_BF16
constexpr int64_t kStepTaps = 2;

MIEN_INLINE V word_of(const Bf16* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<V>(I{} + bits);
}
MIEN_INLINE void multiply_add(V& sum, V a, V b) {
#ifdef __AVX512BF16__
  sum = reinterpret_cast<V>(
      _mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
#else
  const U x = reinterpret_cast<U>(a);
  const U y = reinterpret_cast<U>(b);
  sum += reinterpret_cast<V>(x & 0xFFFF0000U) * reinterpret_cast<V>(y & 0xFFFF0000U);
  sum += reinterpret_cast<V>(x << 16) * reinterpret_cast<V>(y << 16);
#endif
}
/// The words of two lines of elements: a's are their first halves.
template <class N>
MIEN_INLINE V words_of(const Bf16* a, const Bf16* b, N lanes) {
  return reinterpret_cast<V>(__builtin_convertvector(load_bits(a, lanes), U) |
                             (__builtin_convertvector(load_bits(b, lanes), U) << 16));
}
#else
constexpr int64_t kStepTaps = 1;

MIEN_INLINE void multiply_add(V& sum, V a, V b) { sum += a * b; }
MIEN_INLINE V word_of(const float* p) { return all(*p); }
#endif

/// A word that multiplies a word to the sum of its elements.
MIEN_INLINE V ones() { return kStepTaps == 1 ? all(1.0F) : reinterpret_cast<V>(I{} + 0x3F803F80); }
/// A word of words that lie in memory.
MIEN_INLINE V broadcast(const float* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<V>(I{} + bits);
}

/// What `choose` has for a tile of `rows` by `vectors`, which its template operator() takes as constants.
template <int64_t rows, int64_t vectors, class Choose>
auto tile_of_rows(int64_t wanted, const Choose& choose) {
  if constexpr (rows > 1) {
    if (wanted < rows) return tile_of_rows<rows - 1, vectors>(wanted, choose);
  }
  return choose.template operator()<rows, vectors>();
}

template <int64_t vectors = kTileVectors, class Choose>
auto tile_of(int64_t rows, int64_t wanted_vectors, const Choose& choose) {
  if constexpr (vectors > 1) {
    if (wanted_vectors < vectors) return tile_of<vectors - 1>(rows, wanted_vectors, choose);
  }
  return tile_of_rows<tile_rows(vectors), vectors>(rows, choose);
}

// ---- weight gradient ----

/// Where the words that a tile adds up lie: `groups` images of `rows` rows of `width` words.
struct Traversal {
  int64_t groups, rows, width;
  int64_t x_word, x_row, x_group;  // steps through x, in words
  int64_t dy_word;                 // step through dy
  int64_t weight_tap;              // step through the weight
};

template <int64_t tile_rows, int64_t tile_vectors>
void weight_tile(const Traversal& walk, const float* x, const float* dy, float* weight) {
  V sum[tile_rows][tile_vectors] = {};
  for (int64_t group = 0; group < walk.groups; ++group) {
    for (int64_t row = 0; row < walk.rows; ++row) {
      const float* p = x + group * walk.x_group + row * walk.x_row;
      for (int64_t i = 0; i < walk.width; ++i) {
        V d[tile_vectors];
#pragma GCC unroll 16
        for (int64_t v = 0; v < tile_vectors; ++v) d[v] = load(dy + v * kLanes, AllLanes{});
#pragma GCC unroll 16
        for (int64_t r = 0; r < tile_rows; ++r) {
          const V factor = broadcast(p + r);
#pragma GCC unroll 16
          for (int64_t v = 0; v < tile_vectors; ++v) multiply_add(sum[r][v], factor, d[v]);
        }
        p += walk.x_word;
        dy += walk.dy_word;
      }
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 16
    for (int64_t v = 0; v < tile_vectors; ++v) {
      float* const w = weight + r * walk.weight_tap + v * kLanes;
      store(w, load(w, AllLanes{}) + sum[r][v], AllLanes{});
    }
  }
}

using WeightTile = void (*)(const Traversal&, const float*, const float*, float*);

WeightTile weight_tile_of(int64_t rows, int64_t vectors) {
  return tile_of(rows, vectors, []<int64_t r, int64_t v>() -> WeightTile { return weight_tile<r, v>; });
}

/// Rows [first, first + rows) of one padded image, counted with the padding, to `to` [rows, width + 2 pad_width, C].
void copy_padded(const ConvolutionArguments& c, const Element* image, int64_t first, int64_t rows, Element* to) {
  const int64_t padded = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t side = c.pad_width * c.channels;
  const int64_t inside = c.width * c.channels;
  for (int64_t row = 0; row < rows; ++row) {
    Element* const line = to + row * padded;
    const int64_t source = first + row - c.pad_height;
    if (source < 0 || source >= c.height) {
      for (int64_t i = 0; i < padded; ++i) line[i] = Element{};
      continue;
    }
    for (int64_t i = 0; i < side; ++i) line[i] = Element{};
    __builtin_memcpy(line + side, image + source * inside, sizeof(Element) * static_cast<size_t>(inside));
    for (int64_t i = side + inside; i < padded; ++i) line[i] = Element{};
  }
}

/// A part of the weight gradient's work whose words stay in the cache: `groups` images from `image` on, `rows` rows of
/// the output from `first` on, and the rows of x that these read.
struct Chunk {
  int64_t image, groups, first, rows, x_rows;
};

/// dy's words as the tiles read them.
struct GradientWords {
  const float* words;
  int64_t step;  // from one to the next, in words
};

int64_t steps_a_row(const ConvolutionArguments& c) { return (c.out_width + kStepTaps - 1) / kStepTaps; }

/// dy's first element of a chunk and channel.
const Element* gradient_of(const ConvolutionArguments& c, const Chunk& chunk, const void* dy, int64_t channel) {
  const int64_t pixel = (chunk.image * c.out_height + chunk.first) * c.out_width;
  return static_cast<const Element*>(dy) + pixel * c.out_channels + channel;
}

#if MIEN_KERNEL_IS_BF16

/// Floats that one row of elements takes, with what the words read beyond it.
int64_t line_floats(const ConvolutionArguments& shape) {
  return ((shape.width + 2 * shape.pad_width + shape.stride) * shape.channels + 1) / 2;
}

/// The words of x: each of one pixel and of the one that the next output reads instead.
void take_x(const ConvolutionArguments& shape, const Chunk& chunk, const Element* x, float* words, float* line_memory) {
  const int64_t padded_width = (shape.width + 2 * shape.pad_width) * shape.channels;
  const int64_t step = shape.stride * shape.channels;
  auto* const line = reinterpret_cast<Element*>(line_memory);
  for (int64_t i = 0; i < step; ++i) line[padded_width + i] = Element{};
  for (int64_t group = 0; group < chunk.groups; ++group) {
    const Element* const image = x + (chunk.image + group) * shape.height * shape.width * shape.channels;
    for (int64_t row = 0; row < chunk.x_rows; ++row) {
      copy_padded(shape, image, chunk.first * shape.stride + row, 1, line);
      float* const to = words + (group * chunk.x_rows + row) * padded_width;
      MIEN_VECTORS(padded_width) { store(to + c, words_of(line + c, line + c + step, n), n); });
    }
  }
}

/// The words of dy: each of two pixels that follow one another in a row; a pixel beyond the row is 0.
GradientWords take_dy(
    const ConvolutionArguments& shape, const Chunk& chunk, const Element* dy, int64_t channels, float* words) {
  const int64_t padded = (channels + kLanes - 1) / kLanes * kLanes;
  float* to = words;
  for (int64_t row = 0; row < chunk.groups * chunk.rows; ++row) {
    for (int64_t column = 0; column < shape.out_width; column += 2) {
      const Element* const second = column + 1 < shape.out_width ? dy + shape.out_channels : nullptr;
      MIEN_VECTORS(channels) {
        const V word = second != nullptr ? words_of(dy + c, second + c, n)
                                         : reinterpret_cast<V>(__builtin_convertvector(load_bits(dy + c, n), U));
        store(to + c, word, AllLanes{});
      });
      dy += (second != nullptr ? 2 : 1) * shape.out_channels;
      to += padded;
    }
  }
  return {words, padded};
}

#else

int64_t line_floats(const ConvolutionArguments&) { return 0; }

void take_x(const ConvolutionArguments& shape, const Chunk& chunk, const Element* x, float* words, float*) {
  const int64_t padded_width = (shape.width + 2 * shape.pad_width) * shape.channels;
  for (int64_t group = 0; group < chunk.groups; ++group) {
    const Element* const image = x + (chunk.image + group) * shape.height * shape.width * shape.channels;
    copy_padded(shape, image, chunk.first * shape.stride, chunk.x_rows, words + group * chunk.x_rows * padded_width);
  }
}

/// dy itself, or a copy whose pixels are filled up with zeros to whole vectors.
GradientWords take_dy(
    const ConvolutionArguments& shape, const Chunk& chunk, const Element* dy, int64_t channels, float* words) {
  if (channels % kLanes == 0) return {dy, shape.out_channels};
  const int64_t padded = (channels + kLanes - 1) / kLanes * kLanes;
  for (int64_t pixel = 0; pixel < chunk.groups * chunk.rows * shape.out_width; ++pixel) {
    float* const to = words + pixel * padded;
    MIEN_VECTORS(channels) { store(to + c, load(dy + c, n), AllLanes{}); });
    dy += shape.out_channels;
  }
  return {words, padded};
}

#endif

/// Adds the sums of dy's `words` words to the bias, `padded` channels of it.
void add_bias(const GradientWords& dy, int64_t words, int64_t padded, float* bias) {
  for (int64_t k = 0; k < padded; k += kLanes) {
    V sum = load(bias + k, AllLanes{});
    for (int64_t i = 0; i < words; ++i) multiply_add(sum, ones(), load(dy.words + i * dy.step + k, AllLanes{}));
    store(bias + k, sum, AllLanes{});
  }
}

/// Adds one chunk to `padded` channels of the weight.
void add_chunk(const ConvolutionArguments& c,
               const Traversal& walk,
               const float* x,
               const float* dy,
               int64_t padded,
               float* weight) {
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t run = c.kernel_width * c.channels;  // the taps of one kernel row follow each other in x
  for (int64_t k = 0; k < padded;) {
    const int64_t left = (padded - k) / kLanes;
    const int64_t vectors = left < kTileVectors ? left : kTileVectors;
    const int64_t tiles = (run + tile_rows(vectors) - 1) / tile_rows(vectors);
    for (int64_t y = 0; y < c.kernel_height; ++y) {
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t from = run * tile / tiles;
        const int64_t to = run * (tile + 1) / tiles;
        weight_tile_of(to - from, vectors)(
            walk, x + y * padded_width + from, dy + k, weight + (y * run + from) * walk.weight_tap + k);
      }
    }
    k += vectors * kLanes;
  }
}

void weight_gradient(const ConvolutionArguments& given,
                     const ConvolutionUnit& unit,
                     const void* x,
                     const void* dy,
                     float* weight,
                     float* bias) {
  const ConvolutionArguments c = given;
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t channels = unit.channels();
  const int64_t padded = (channels + kLanes - 1) / kLanes * kLanes;
  // Small images together, large ones in bands of rows.
  const int64_t most_groups = c.out_pixels() >= kChunkPixels ? 1 : kChunkPixels / c.out_pixels();
  int64_t band = c.out_pixels() >= kChunkPixels ? kChunkPixels / c.out_width : c.out_height;
  if (band < 1) band = 1;
  const int64_t x_floats = most_groups * ((band - 1) * c.stride + c.kernel_height) * padded_width;
  Scratch scratch(x_floats + line_floats(c) + most_groups * band * steps_a_row(c) * padded);
  float* const words = scratch.take(x_floats);
  float* const line = scratch.take(line_floats(c));
  float* const gradient_words = scratch.take(0);
  for (int64_t image = unit.image_begin; image < unit.image_end; image += most_groups) {
    const int64_t groups = unit.image_end - image < most_groups ? unit.image_end - image : most_groups;
    for (int64_t first = 0; first < c.out_height; first += band) {
      const int64_t rows = c.out_height - first < band ? c.out_height - first : band;
      const Chunk chunk{image, groups, first, rows, (rows - 1) * c.stride + c.kernel_height};
      take_x(c, chunk, static_cast<const Element*>(x), words, line);
      const GradientWords d =
          take_dy(c, chunk, gradient_of(c, chunk, dy, unit.channel_begin), channels, gradient_words);
      const Traversal walk{.groups = groups,
                           .rows = rows,
                           .width = steps_a_row(c),
                           .x_word = kStepTaps * c.stride * c.channels,
                           .x_row = c.stride * padded_width,
                           .x_group = chunk.x_rows * padded_width,
                           .dy_word = d.step,
                           .weight_tap = (c.out_channels + kLanes - 1) / kLanes * kLanes};
      if (bias != nullptr) add_bias(d, groups * rows * walk.width, padded, bias + unit.channel_begin);
      add_chunk(c, walk, words, d.words, padded, weight + unit.channel_begin);
    }
  }
}

// ---- forward ----

/// Taps that follow one another in x: `steps` steps of each of `rows` kernel rows that are `row_step` elements apart.
struct Piece {
  int64_t rows, steps, row_step;
  bool is_first, is_last;
};

/// Where a tile of the output goes. Until the last piece its sums are kept at `sums`.
struct TileOutput {
  float* sums;
  int64_t sums_step;   // from pixel to pixel, in floats
  Element* y;          // where the last piece's sums go; unused where they are floats, which stay at `sums`
  int64_t y_step;      // in elements
  int64_t last_lanes;  // channels of the last vector
};

template <int64_t pixels, int64_t vectors, class N>
MIEN_INLINE void store_tile(const V (&sum)[pixels][vectors], const Piece& piece, const TileOutput& to, N last_lanes) {
  const bool goes_to_y = sizeof(Element) != sizeof(float) && piece.is_last;
#pragma GCC unroll 16
  for (int64_t i = 0; i < pixels; ++i) {
    if (goes_to_y) {
      Element* const y = to.y + i * to.y_step;
#pragma GCC unroll 16
      for (int64_t v = 0; v < vectors - 1; ++v) store(y + v * kLanes, sum[i][v], AllLanes{});
      store(y + (vectors - 1) * kLanes, sum[i][vectors - 1], last_lanes);
    } else {
      float* const y = to.sums + i * to.sums_step;
#pragma GCC unroll 16
      for (int64_t v = 0; v < vectors - 1; ++v) store(y + v * kLanes, sum[i][v], AllLanes{});
      store(y + (vectors - 1) * kLanes, sum[i][vectors - 1], last_lanes);
    }
  }
}

/// Adds one piece's products to a tile of the output; the first piece's to the bias at `start` instead (nullptr: to 0).
template <int64_t pixels, int64_t vectors>
void forward_tile(const Piece& piece,
                  const Element* x,
                  const int64_t* places,
                  const float* weight,
                  const float* start,
                  const TileOutput& to) {
  const Element* p[pixels];
#pragma GCC unroll 16
  for (int64_t i = 0; i < pixels; ++i) p[i] = x + places[i];
  V sum[pixels][vectors];
#pragma GCC unroll 16
  for (int64_t v = 0; v < vectors; ++v) {
    if (piece.is_first) {
      const V bias = start == nullptr ? V{} : load(start + v * kLanes, AllLanes{});
#pragma GCC unroll 16
      for (int64_t i = 0; i < pixels; ++i) sum[i][v] = bias;
    } else {
      const int64_t lanes = v == vectors - 1 ? to.last_lanes : kLanes;
#pragma GCC unroll 16
      for (int64_t i = 0; i < pixels; ++i) {
        const float* const so_far = to.sums + i * to.sums_step + v * kLanes;
        sum[i][v] = lanes == kLanes ? load(so_far, AllLanes{}) : load(so_far, lanes);
      }
    }
  }
  for (int64_t row = 0; row < piece.rows; ++row) {
    for (int64_t step = 0; step < piece.steps; ++step) {
      V w[vectors];
#pragma GCC unroll 16
      for (int64_t v = 0; v < vectors; ++v) w[v] = load(weight + v * kLanes, AllLanes{});
#pragma GCC unroll 16
      for (int64_t i = 0; i < pixels; ++i) {
        const V factor = word_of(p[i] + step * kStepTaps);
#pragma GCC unroll 16
        for (int64_t v = 0; v < vectors; ++v) multiply_add(sum[i][v], factor, w[v]);
      }
      weight += vectors * kLanes;
    }
#pragma GCC unroll 16
    for (int64_t i = 0; i < pixels; ++i) p[i] += piece.row_step;
  }
  if (to.last_lanes == kLanes) {
    store_tile<pixels, vectors>(sum, piece, to, AllLanes{});
  } else {
    store_tile<pixels, vectors>(sum, piece, to, to.last_lanes);
  }
}

using ForwardTile =
    void (*)(const Piece&, const Element*, const int64_t*, const float*, const float*, const TileOutput&);

ForwardTile forward_tile_of(int64_t pixels, int64_t vectors) {
  return tile_of(pixels, vectors, []<int64_t p, int64_t v>() -> ForwardTile { return forward_tile<p, v>; });
}

/// One block of output channels of all pixels of a unit, whose padded input lies at `padded` and whose pixels start at
/// `places` in it.
void forward_block(const ConvolutionArguments& c,
                   const Element* padded,
                   const int64_t* places,
                   int64_t pixels,
                   const float* weight,
                   const float* bias,
                   int64_t vectors,
                   const TileOutput& output) {
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t run = (c.kernel_width * c.channels + kStepTaps - 1) / kStepTaps;  // steps of one kernel row
  const int64_t most = kPieceWords / (vectors * kLanes);
  const int64_t pieces = (run + most - 1) / most;
  const int64_t rows_a_piece = run < most ? most / run : 1;
  const int64_t tile = tile_rows(vectors);
  const ForwardTile whole = forward_tile_of(tile, vectors);
  const ForwardTile rest = pixels % tile == 0 ? whole : forward_tile_of(pixels % tile, vectors);
  for (int64_t row = 0; row < c.kernel_height; row += rows_a_piece) {
    const int64_t rows = c.kernel_height - row < rows_a_piece ? c.kernel_height - row : rows_a_piece;
    for (int64_t i = 0; i < pieces; ++i) {
      const int64_t from = run * i / pieces;
      const Piece piece{.rows = rows,
                        .steps = run * (i + 1) / pieces - from,
                        .row_step = padded_width,
                        .is_first = row == 0 && i == 0,
                        .is_last = row + rows == c.kernel_height && i == pieces - 1};
      const Element* const x = padded + row * padded_width + from * kStepTaps;
      TileOutput to = output;
      for (int64_t pixel = 0; pixel < pixels; pixel += tile) {
        (pixel + tile <= pixels ? whole : rest)(piece, x, places + pixel, weight, bias, to);
        to.sums += tile * to.sums_step;
        to.y += tile * to.y_step;
      }
      weight += piece.rows * piece.steps * vectors * kLanes;
    }
  }
}

void convolve(const ConvolutionArguments& given,
              const ConvolutionUnit& unit,
              const void* x,
              const void* packed,
              const float* bias,
              void* y,
              int64_t y_step) {
  constexpr bool keeps_sums = sizeof(Element) != sizeof(float);  // of pieces, beside y
  const ConvolutionArguments c = given;
  const int64_t padded_width = (c.width + 2 * c.pad_width) * c.channels;
  const int64_t x_rows = (unit.rows() - 1) * c.stride + c.kernel_height;
  const int64_t pixels = unit.images() * unit.rows() * c.out_width;
  const int64_t steps = c.kernel_height * ((c.kernel_width * c.channels + kStepTaps - 1) / kStepTaps);
  const int64_t sums = keeps_sums ? pixels * kTileVectors * kLanes : 0;
  Scratch scratch(unit.images() * x_rows * padded_width + 2 * pixels + 2 + sums);
  auto* const places = reinterpret_cast<int64_t*>(scratch.take(2 * pixels + 2));
  float* const sums_memory = scratch.take(sums);
  auto* const padded = reinterpret_cast<Element*>(scratch.take(0));
  padded[unit.images() * x_rows * padded_width] = Element{};  // a last step's second half reads beyond odd rows
  int64_t* place = places;
  for (int64_t image = 0; image < unit.images(); ++image) {
    const Element* const source =
        static_cast<const Element*>(x) + (unit.image_begin + image) * c.height * c.width * c.channels;
    copy_padded(c, source, unit.row_begin * c.stride, x_rows, padded + image * x_rows * padded_width);
    for (int64_t row = 0; row < unit.rows(); ++row) {
      const int64_t line = (image * x_rows + row * c.stride) * padded_width;
      for (int64_t column = 0; column < c.out_width; ++column) *place++ = line + column * c.stride * c.channels;
    }
  }
  for (int64_t k = unit.channel_begin; k < unit.channel_end;) {
    const int64_t left = (unit.channel_end - k + kLanes - 1) / kLanes;
    const int64_t vectors = left < kTileVectors ? left : kTileVectors;
    const int64_t channels = unit.channel_end - k < vectors * kLanes ? unit.channel_end - k : vectors * kLanes;
    Element* const own_y = static_cast<Element*>(y) + (k - unit.channel_begin);
    const TileOutput to{.sums = keeps_sums ? sums_memory : reinterpret_cast<float*>(own_y),
                        .sums_step = keeps_sums ? vectors * kLanes : y_step,
                        .y = own_y,
                        .y_step = y_step,
                        .last_lanes = channels - (vectors - 1) * kLanes};
    const float* const own_bias = bias == nullptr ? nullptr : bias + k;
    forward_block(c, padded, places, pixels, static_cast<const float*>(packed) + k * steps, own_bias, vectors, to);
    k += vectors * kLanes;
  }
}

}  // namespace

extern const ConvolutionKernels kConvolutionKernels;
const ConvolutionKernels kConvolutionKernels{kLanes, kTileVectors* kLanes, kStepTaps, convolve, weight_gradient};

}  // namespace mien::network::MIEN_KERNEL_SET
