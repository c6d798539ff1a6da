#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// How read_csv treats what it finds. (The flags that set these are declared once, in DataOptions.)
struct CsvOptions {
  bool skip_bad_rows = false;  ///< leave bad rows out, with one warning, instead of throwing
  int64_t side = 0;            ///< images are side x side pixels; 0 takes it from the first rows
  std::string classes;         ///< see ClassNames::parse; empty: FER2013's
  std::string label_column;    ///< name of the column of labels; empty finds it, "none": there is none
  bool labels = true;          ///< false: nobody asks for the labels
};

/// Reads a csv of faces in any of the forms FER2013 has been published in.
///
/// The first line names the columns, in any order and case, surrounding spaces ignored: `pixels` or `feature` (needed),
/// `emotion` or `label`, `Usage`, `id`; other usual names are known too (`class`, `expression`, `target`, `split`,
/// ...). A label column of an unknown name is found where it is the only one that holds expressions in words; columns
/// that only may hold labels are named in an error. Other columns are ignored; where no label column is among them, a
/// warning says so. Every further line is a row; a pixels cell holds the image row by row, whole numbers 0-255
/// separated by spaces. A label is a number of `classes`, also written as 3.0, or a name (synonyms as in
/// expression_label); an empty cell means unlabeled. Usage is Training (train), PublicTest (val, valid, validation,
/// dev) or PrivateTest; test is PrivateTest beside a validation part, else PublicTest. An id that is text becomes the
/// face's name. Cells may be quoted, lines may end in LF, CRLF or CR, UTF-16 with a byte order mark is read, a UTF-8
/// byte order mark and blank lines are passed over, the last line end may be missing. Rows are counted from 0 without
/// the header, lines from 1 with it. The image size is that of most of the first rows.
///
/// Reads on mien::threads() threads; neither the result nor the error depends on their number.
/// Throws Error(bad_data) naming the file, the first bad row of the file, what it holds and what was expected.
/// `rows_in_file`, if given, becomes the number of the file's rows, those that are left out included.
Dataset read_csv(const std::filesystem::path& path,
                 const CsvOptions& options,
                 ProgressListener& listener,
                 int64_t* rows_in_file = nullptr);

}  // namespace mien::data
