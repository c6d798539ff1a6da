#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/load.h"

namespace mien::exporting {

/// A format that --to names.
struct ExportFormat {
  std::string name;
  std::string suffix;  ///< of the default output, behind the network's name
  bool is_folder = false;
};
const std::vector<ExportFormat>& export_formats();

/// Options of `mien export`.
struct ExportOptions {
  std::string weights;  ///< a weights file, or a run folder
  std::string to;
  std::string out;
  bool overwrite = false;
  bool fp16 = false;
  bool int8 = false;
  std::string input = "uint8";
  std::string output = "probabilities";
  double temperature = 0;  ///< 0: the weights' own
  data::DataOptions data;  ///< faces to calibrate int8 with
  int64_t calibration_faces = 512;
  void bind(OptionSet& options);
};

struct ExportedFile {
  std::filesystem::path path;
  int64_t bytes = 0;
};

/// Writes `options.weights` in another program's format and returns what was written. Throws Error(usage) for a format
/// without --to, what the format cannot do, or an output that exists (unless `overwrite`), Error(failed) for one that
/// cannot be written, Error(bad_data) for weights that cannot be read.
std::vector<ExportedFile> export_run(const ExportOptions& options, ProgressListener& listener);

}  // namespace mien::exporting
