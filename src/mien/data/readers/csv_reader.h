#pragma once

#include <cstdint>
#include <filesystem>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// How read_csv treats what it finds. (The flags that set these are declared once, in DataOptions.)
struct CsvOptions {
  bool skip_bad_rows = false;  ///< leave bad rows out, with one warning, instead of throwing
  int64_t side = 0;            ///< images are side x side pixels; 0 takes it from the first row
};

/// Reads a csv of faces in any of the forms FER2013 has been published in.
///
/// The first line names the columns, in any order and case, surrounding spaces ignored: `pixels` or `feature` (needed),
/// `emotion` or `label`, `Usage`, `id`; other columns are ignored. Every further line is a row; a pixels cell holds the
/// image row by row, whole numbers 0-255 separated by spaces. Cells may be quoted, lines may end in CRLF, a UTF-8 byte
/// order mark and blank lines are passed over, the last line end may be missing. An empty emotion cell means
/// unlabeled. Rows are counted from 1 without the header, lines from 1 with it.
///
/// Reads on mien::threads() threads; neither the result nor the error depends on their number.
/// Throws Error(bad_data) naming the file, the first bad row of the file, what it holds and what was expected.
Dataset read_csv(const std::filesystem::path& path, const CsvOptions& options, ProgressListener& listener);

}  // namespace mien::data
