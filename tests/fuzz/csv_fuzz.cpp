#include "fuzz/fuzzing.h"

#include "mien/data/readers/csv_reader.h"

/// The first byte chooses options, the others are the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  mien::data::CsvOptions options{.skip_bad_rows = (data[0] & 1) != 0, .side = (data[0] & 2) != 0 ? 2 : 0};
  if ((data[0] & 4) != 0) options.label_column = "none";
  options.labels = (data[0] & 8) == 0;
  return mien::fuzz::tried([&] {
    mien::data::read_csv(
        mien::fuzz::as_file(mien::fuzz::text_of(data + 1, size - 1)), options, mien::silent_listener());
  });
}
