#include "mien/data/augmentation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/random.h"
#include "mien/data/preprocess.h"

namespace mien::data {
namespace {

constexpr double kLeastErased = 0.02;       // fraction of the area; Zhong et al. 2020, section 4
constexpr double kLargestAspect = 1 / 0.3;  // of the erased rectangle, and its inverse the smallest

double radians(double degrees) { return degrees * std::numbers::pi / 180; }

/// Copies a plane with one more pixel at the left and top and two at the right and bottom, so that interpolation at
/// any point clamped to one pixel outside reads within the copy.
void copy_with_border(const uint8_t* plane, int64_t height, int64_t width, bool repeat, uint8_t* padded) {
  const int64_t stride = width + 3;
  for (int64_t row = 0; row < height + 3; ++row) {
    uint8_t* to = padded + row * stride;
    const bool outside = row == 0 || row > height;
    if (outside && !repeat) {
      std::fill(to, to + stride, uint8_t{0});
      continue;
    }
    const uint8_t* from = plane + std::clamp<int64_t>(row - 1, 0, height - 1) * width;
    to[0] = repeat ? from[0] : uint8_t{0};
    std::copy(from, from + width, to + 1);
    to[width + 1] = to[width + 2] = repeat ? from[width - 1] : uint8_t{0};
  }
}

/// Bilinear samples of a plane at map(x, y) for each pixel of `out`.
void sample(const uint8_t* padded, int64_t height, int64_t width, const AffineMap& map, float* out) {
  const int64_t stride = width + 3;
  const auto last_x = static_cast<float>(width + 1);
  const auto last_y = static_cast<float>(height + 1);
  const auto xx = static_cast<float>(map.xx);
  const auto yx = static_cast<float>(map.yx);
  for (int64_t row = 0; row < height; ++row) {
    const auto row_x = static_cast<float>(map.xy * static_cast<double>(row) + map.x0 + 1);
    const auto row_y = static_cast<float>(map.yy * static_cast<double>(row) + map.y0 + 1);
    for (int64_t column = 0; column < width; ++column) {
      const float x = std::min(std::max(xx * static_cast<float>(column) + row_x, 0.0F), last_x);
      const float y = std::min(std::max(yx * static_cast<float>(column) + row_y, 0.0F), last_y);
      const auto left = static_cast<int32_t>(x);
      const auto top = static_cast<int32_t>(y);
      const float right_share = x - static_cast<float>(left);
      const float lower_share = y - static_cast<float>(top);
      const uint8_t* at = padded + top * stride + left;
      const auto top_left = static_cast<float>(at[0]);
      const auto bottom_left = static_cast<float>(at[stride]);
      const float upper = top_left + right_share * (static_cast<float>(at[1]) - top_left);
      const float lower = bottom_left + right_share * (static_cast<float>(at[stride + 1]) - bottom_left);
      out[row * width + column] = upper + lower_share * (lower - upper);
    }
  }
}

/// Gray levels of a plane, mirrored or not.
template <class To>
void copy_levels(const uint8_t* plane, int64_t height, int64_t width, bool flip, To* out) {
  for (int64_t row = 0; row < height; ++row) {
    const uint8_t* from = plane + row * width;
    To* to = out + row * width;
    for (int64_t column = 0; column < width; ++column) {
      to[column] = static_cast<To>(from[flip ? width - 1 - column : column]);
    }
  }
}

float mean_level(std::span<const uint8_t> bytes) {
  const uint64_t sum = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  return static_cast<float>(static_cast<double>(sum) / static_cast<double>(bytes.size()));
}

}  // namespace

void AugmentOptions::bind(OptionSet& options) {
  options.group("augment");
  options.add(&flip,
              {.name = "flip",
               .help = "probability of a left-right mirror image",
               .minimum = 0,
               .maximum = 1,
               .level = OptionLevel::common});
  options.add(&rotate,
              {.name = "rotate",
               .help = "largest turn of an image, either way",
               .unit = "degrees",
               .minimum = 0,
               .maximum = 180,
               .level = OptionLevel::common});
  options.add(&shift,
              {.name = "shift",
               .help = "largest shift of an image, as a fraction of its width and height",
               .minimum = 0,
               .maximum = 1});
  options.add(
      &zoom,
      {.name = "zoom", .help = "largest relative change of an image's size, up or down", .minimum = 0, .maximum = 0.9});
  options.add(&shear,
              {.name = "shear",
               .help = "largest horizontal shear of an image, either way",
               .unit = "degrees",
               .minimum = 0,
               .maximum = 60});
  options.add(&border,
              {.name = "border",
               .help = "what a moved image shows beyond its edge: its outermost pixels again, or black",
               .choices = {"edge", "black"},
               .only_with = {{"rotate", "!0"}, {"shift", "!0"}, {"zoom", "!0"}, {"shear", "!0"}}});
  options.add(&brightness,
              {.name = "brightness",
               .help = "largest change of brightness, as a fraction of the full range",
               .minimum = 0,
               .maximum = 1});
  options.add(&contrast,
              {.name = "contrast",
               .help = "largest relative change of contrast about the image's mean",
               .minimum = 0,
               .maximum = 1});
  options.add(&erase,
              {.name = "erase",
               .help = "probability that a rectangle is filled with the image's mean",
               .minimum = 0,
               .maximum = 1,
               .source = "Zhong et al. 2020, Random Erasing Data Augmentation"});
  options.add(&erase_size,
              {.name = "erase-size",
               .help = "largest fraction of the area that is erased",
               .minimum = 0,
               .maximum = 1,
               .source = "torchvision's RandomErasing",
               .only_with = {{"erase", "!0"}}});
  options.add(&mixup,
              {.name = "mixup",
               .help = "alpha of mixup, which blends pairs of images and of labels; 0 is off",
               .minimum = 0,
               .source = "Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization"});
  options.add(&cutmix,
              {.name = "cutmix",
               .help = "alpha of CutMix, which pastes a box of one image into another; 0 is off",
               .minimum = 0,
               .source = "Yun et al. 2019, CutMix"});
}

bool AugmentOptions::any_per_image() const {
  return flip > 0 || rotate > 0 || shift > 0 || zoom > 0 || shear > 0 || brightness > 0 || contrast > 0 || erase > 0;
}

AffineMap Augmentation::map(int64_t height, int64_t width) const {
  // The picture moves as p' = center + shift + zoom * turn * shear * mirror * (p - center); this is p for a given p'.
  const double cosine = std::cos(radians(angle_degrees));
  const double sine = std::sin(radians(angle_degrees));
  const double slant = std::tan(radians(shear_degrees));
  const double mirror = flip ? -1 : 1;
  AffineMap map;
  map.xx = mirror * (cosine + slant * sine) / zoom;
  map.xy = mirror * (sine - slant * cosine) / zoom;
  map.yx = -sine / zoom;
  map.yy = cosine / zoom;
  const double center_x = 0.5 * static_cast<double>(width - 1);
  const double center_y = 0.5 * static_cast<double>(height - 1);
  map.x0 = center_x - map.xx * (center_x + shift_x) - map.xy * (center_y + shift_y);
  map.y0 = center_y - map.yx * (center_x + shift_x) - map.yy * (center_y + shift_y);
  return map;
}

Augmenter::Augmenter(const AugmentOptions& options, int64_t height, int64_t width)
    : options_(options), height_(height), width_(width) {}

Augmentation Augmenter::draw(uint64_t seed, int64_t epoch, int64_t row) const {
  // Everything is drawn, wanted or not, so that one option does not change what the others do.
  RandomStream random(seed, "augment", static_cast<uint64_t>(epoch), static_cast<uint64_t>(row));
  const auto around = [&](double most) { return most * random.uniform(-1, 1); };
  const auto height = static_cast<double>(height_);
  const auto width = static_cast<double>(width_);
  Augmentation augmentation;
  augmentation.flip = random.uniform() < options_.flip;
  augmentation.angle_degrees = around(options_.rotate);
  augmentation.shift_x = around(options_.shift * width);
  augmentation.shift_y = around(options_.shift * height);
  augmentation.zoom = 1 + around(options_.zoom);
  augmentation.shear_degrees = around(options_.shear);
  augmentation.brightness = around(255 * options_.brightness);
  augmentation.contrast = 1 + around(options_.contrast);
  const bool erases = random.uniform() < options_.erase;
  const double area = height * width * random.uniform(std::min(kLeastErased, options_.erase_size), options_.erase_size);
  const double aspect = std::exp(around(std::log(kLargestAspect)));
  const double place_x = random.uniform();
  const double place_y = random.uniform();
  if (erases) {  // rounded down, so that the area never exceeds what was drawn
    augmentation.erase_width = std::min(width_, static_cast<int64_t>(std::sqrt(area * aspect)));
    augmentation.erase_height = std::min(height_, static_cast<int64_t>(std::sqrt(area / aspect)));
    augmentation.erase_left =
        static_cast<int64_t>(place_x * static_cast<double>(width_ - augmentation.erase_width + 1));
    augmentation.erase_top =
        static_cast<int64_t>(place_y * static_cast<double>(height_ - augmentation.erase_height + 1));
  }
  return augmentation;
}

void Augmenter::apply(std::span<const uint8_t> image,
                      const Augmentation& augmentation,
                      const network::Normalization& normalization,
                      float* out) const {
  const int64_t area = height_ * width_;
  const auto size = static_cast<int64_t>(image.size());
  if (size == 0 || size % area != 0) {
    throw_failed(
        fmt::format("cannot augment an image of {} bytes, expected a multiple of {}x{}", size, height_, width_));
  }
  const bool moves = augmentation.angle_degrees != 0 || augmentation.shift_x != 0 || augmentation.shift_y != 0 ||
                     augmentation.zoom != 1 || augmentation.shear_degrees != 0;
  const bool recolors = augmentation.brightness != 0 || augmentation.contrast != 1;
  const bool erases = augmentation.erase_width > 0 && augmentation.erase_height > 0;
  if (!moves && !recolors && !erases && !augmentation.flip) {
    normalize_image(image, normalization, out);
    return;
  }
  thread_local std::vector<uint8_t> scratch;
  if (!moves && !recolors && !erases) {
    scratch.resize(image.size());
    for (int64_t at = 0; at < size; at += area) copy_levels(&image[at], height_, width_, true, &scratch[at]);
    normalize_image(scratch, normalization, out);
    return;
  }

  if (moves) {
    const AffineMap map = augmentation.map(height_, width_);
    scratch.resize(static_cast<size_t>((height_ + 3) * (width_ + 3)));
    for (int64_t at = 0; at < size; at += area) {
      copy_with_border(&image[at], height_, width_, options_.border != "black", scratch.data());
      sample(scratch.data(), height_, width_, map, out + at);
    }
  } else {
    for (int64_t at = 0; at < size; at += area) {
      copy_levels(&image[at], height_, width_, augmentation.flip, out + at);
    }
  }
  float fill = 0;
  if (recolors || erases) {
    const float mean = mean_level(image);
    const auto contrast = static_cast<float>(augmentation.contrast);
    const float offset = mean - contrast * mean + static_cast<float>(augmentation.brightness);
    fill = std::clamp(contrast * mean + offset, 0.0F, 255.0F);
    if (recolors) {
      for (int64_t i = 0; i < size; ++i) out[i] = std::min(std::max(contrast * out[i] + offset, 0.0F), 255.0F);
    }
  }
  if (erases) {
    for (int64_t at = 0; at < size; at += area) {
      for (int64_t row = 0; row < augmentation.erase_height; ++row) {
        float* from = out + at + (augmentation.erase_top + row) * width_ + augmentation.erase_left;
        std::fill(from, from + augmentation.erase_width, fill);
      }
    }
  }
  normalize_levels({out, image.size()}, normalization);
}

BatchMix draw_batch_mix(const AugmentOptions& options,
                        int64_t count,
                        int64_t height,
                        int64_t width,
                        uint64_t seed,
                        int64_t epoch,
                        int64_t step) {
  BatchMix mix;
  if (!options.any_per_batch() || count < 1) return mix;
  RandomStream random(seed, "mix", static_cast<uint64_t>(epoch), static_cast<uint64_t>(step));
  const bool prefers_cutmix = random.uniform() < 0.5;
  const bool cuts = options.cutmix > 0 && (options.mixup == 0 || prefers_cutmix);
  const double alpha = cuts ? options.cutmix : options.mixup;
  mix.kind = cuts ? BatchMix::Kind::cutmix : BatchMix::Kind::mixup;
  mix.lambda = random.beta(alpha, alpha);
  mix.partner.resize(static_cast<size_t>(count));
  std::iota(mix.partner.begin(), mix.partner.end(), int64_t{0});
  random.shuffle(mix.partner);
  if (!cuts) return mix;
  // A box of 1 - lambda of the area about a uniform center, cut off at the borders; equation 2 of the paper.
  const double half = 0.5 * std::sqrt(1 - mix.lambda);
  const auto span_of = [&](int64_t side, int64_t& low, int64_t& high) {
    const double center = random.uniform(0, static_cast<double>(side));
    low = std::max<int64_t>(0, std::lround(center - half * static_cast<double>(side)));
    high = std::min<int64_t>(side, std::lround(center + half * static_cast<double>(side)));
  };
  span_of(width, mix.left, mix.right);
  span_of(height, mix.top, mix.bottom);
  mix.lambda =
      1 - static_cast<double>((mix.right - mix.left) * (mix.bottom - mix.top)) / static_cast<double>(height * width);
  return mix;
}

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
                   int64_t step) {
  BatchMix mix = draw_batch_mix(options, count, height, width, seed, epoch, step);
  if (mix.kind == BatchMix::Kind::none) return mix;
  const int64_t image_size = channels * height * width;
  const std::vector<float> images(images_nchw, images_nchw + count * image_size);
  const std::vector<float> own_targets(targets, targets + count * classes);
  const auto own = static_cast<float>(mix.lambda);
  const float other = 1 - own;
  const auto blend = [&](float* to, const float* from, int64_t size) {
    for (int64_t i = 0; i < size; ++i) to[i] = own * to[i] + other * from[i];
  };
  for (int64_t row = 0; row < count; ++row) {
    const int64_t partner = mix.partner[static_cast<size_t>(row)];
    blend(targets + row * classes, own_targets.data() + partner * classes, classes);
    if (mix.kind == BatchMix::Kind::mixup) {
      blend(images_nchw + row * image_size, images.data() + partner * image_size, image_size);
      continue;
    }
    for (int64_t line = 0; line < channels * height; ++line) {
      if (line % height < mix.top || line % height >= mix.bottom) continue;
      const float* from = images.data() + partner * image_size + line * width;
      std::copy(from + mix.left, from + mix.right, images_nchw + row * image_size + line * width + mix.left);
    }
  }
  return mix;
}

}  // namespace mien::data
