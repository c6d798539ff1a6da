#include "fuzz/fuzzing.h"

#include "mien/data/readers/image_io.h"

/// Mien's own checks in front of the decoders, and the decoders behind them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return mien::fuzz::tried([&] {
    const auto image = mien::data::read_gray_image(mien::fuzz::as_file(mien::fuzz::text_of(data, size)));
    if (static_cast<int64_t>(image.pixels.size()) != image.height * image.width) __builtin_trap();
  });
}
