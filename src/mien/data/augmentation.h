#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/network/normalization.h"

namespace mien::data {

/// Random changes to training images. Everything is off by default.
struct AugmentOptions {
  double flip = 0;              ///< probability of a left-right mirror image
  double rotate = 0;            ///< degrees; the angle is uniform in +-rotate
  double shift = 0;             ///< fraction of width and of height; uniform in +-shift, each its own
  double zoom = 0;              ///< fraction; the magnification is uniform in 1 +-zoom
  double shear = 0;             ///< degrees; uniform in +-shear, horizontal
  std::string border = "edge";  ///< what lies outside the image: "edge" repeats the outermost pixels, "black" is 0
  double brightness = 0;        ///< fraction of the full range; what is added is uniform in +-brightness
  double contrast = 0;          ///< fraction; distances from the image's mean are scaled by a uniform 1 +-contrast
  double erase = 0;             ///< probability of one rectangle filled with the image's mean
  double erase_size = 0.33;     ///< largest fraction of the area that is erased
  double mixup = 0;             ///< alpha of mixup's Beta(alpha, alpha); 0 is off
  double cutmix = 0;            ///< alpha of CutMix's Beta(alpha, alpha); 0 is off

  void bind(OptionSet& options);

  /// Is there anything to do to single images?
  bool any_per_image() const;
  /// Is there anything to do to batches?
  bool any_per_batch() const { return mixup > 0 || cutmix > 0; }
  bool any() const { return any_per_image() || any_per_batch(); }
};

/// Where a pixel of the output is found in the input: (x, y) -> (xx*x + xy*y + x0, yx*x + yy*y + y0), in pixels, pixel
/// centers at whole numbers, y downwards.
struct AffineMap {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;

  bool operator==(const AffineMap&) const = default;
};

/// What one image goes through.
struct Augmentation {
  bool flip = false;
  double angle_degrees = 0;                   ///< positive turns the picture clockwise as seen
  double shift_x = 0, shift_y = 0;            ///< pixels; positive moves the picture right and down
  double zoom = 1;                            ///< above 1 the picture grows
  double shear_degrees = 0;                   ///< positive moves the lower half to the right
  double brightness = 0;                      ///< gray levels added, full range 255
  double contrast = 1;                        ///< factor on distances from the image's mean
  int64_t erase_left = 0, erase_top = 0;      ///< pixels
  int64_t erase_width = 0, erase_height = 0;  ///< pixels; 0 erases nothing

  /// All of flip, turn, shear, zoom (about the image's center) and shift as one map.
  AffineMap map(int64_t height, int64_t width) const;
};

/// Augments and normalizes images in one pass over their bytes.
class Augmenter {
 public:
  /// For images of `height` x `width` pixels and any number of channels.
  Augmenter(const AugmentOptions& options, int64_t height, int64_t width);

  /// The augmentation of `row` in `epoch`: a function of the arguments and the options alone.
  Augmentation draw(uint64_t seed, int64_t epoch, int64_t row) const;

  /// Applies `augmentation` to an image [C,H,W] and normalizes the outcome into out [C,H,W]. Samples once, bilinearly.
  /// Levels are clamped to [0, 255] before normalization. No change, or only a mirror image, is exact: the same bits as
  /// normalize_image gives.
  void apply(std::span<const uint8_t> image,
             const Augmentation& augmentation,
             const network::Normalization& normalization,
             float* out) const;

  /// draw and apply. Safe to call from several threads.
  void apply(std::span<const uint8_t> image,
             uint64_t seed,
             int64_t epoch,
             int64_t row,
             const network::Normalization& normalization,
             float* out) const {
    apply(image, draw(seed, epoch, row), normalization, out);
  }

 private:
  AugmentOptions options_;
  int64_t height_;
  int64_t width_;
};

/// How a batch is mixed with a permutation of itself.
struct BatchMix {
  enum class Kind {
    none,
    mixup,   ///< images and targets become lambda * own + (1 - lambda) * partner's
    cutmix,  ///< a box of the partner's replaces the own; lambda is the fraction of the area that stays
  };
  Kind kind = Kind::none;
  double lambda = 1;                                 ///< own share in [0, 1]
  std::vector<int64_t> partner;                      ///< [N]
  int64_t left = 0, top = 0, right = 0, bottom = 0;  ///< CutMix's box; right and bottom are one past it
};

/// The mix of a batch of `count` images in `step` of `epoch`. With both mixup and CutMix on, either has half the
/// batches. @source Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Yun et al. 2019, "CutMix".
BatchMix draw_batch_mix(const AugmentOptions& options,
                        int64_t count,
                        int64_t height,
                        int64_t width,
                        uint64_t seed,
                        int64_t epoch,
                        int64_t step);

/// Draws a mix and applies it in place to images [N,C,H,W] and targets [N,K] (rows that sum to 1 still do).
BatchMix mix_batch(float* images_nchw,
                   float* targets,
                   int64_t count,
                   int64_t channels,
                   int64_t height,
                   int64_t width,
                   int64_t classes,
                   const AugmentOptions& options,
                   uint64_t seed,
                   int64_t epoch,
                   int64_t step);

}  // namespace mien::data
