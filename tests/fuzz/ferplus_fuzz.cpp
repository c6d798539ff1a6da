#include "fuzz/fuzzing.h"

#include "mien/data/readers/csv_reader.h"
#include "mien/data/readers/ferplus.h"

/// Votes for three faces.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mien::data::Dataset kFaces = mien::data::read_csv(
      mien::fuzz::as_file("emotion,pixels,Usage\n0,1 2 3 4,Training\n3,4 3 2 1,Training\n6,9 9 9 9,PublicTest\n"),
      {.side = 2},
      mien::silent_listener());
  return mien::fuzz::tried([&] {
    mien::data::Dataset faces = kFaces;
    mien::data::apply_ferplus(faces,
                              mien::fuzz::as_file(mien::fuzz::text_of(data, size)),
                              mien::data::FerPlusMode::distribution,
                              mien::silent_listener(),
                              3);
  });
}
