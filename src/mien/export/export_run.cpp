#include "mien/export/export_run.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/export/calibrate.h"
#include "mien/export/folders.h"
#include "mien/export/frozen.h"
#include "mien/export/onnx.h"
#include "mien/export/pytorch.h"
#include "mien/export/torchscript.h"
#include "mien/network/network.h"
#include "mien/runs/load_faces.h"
#include "mien/runs/run_folder.h"

namespace mien::exporting {
namespace {

namespace fs = std::filesystem;

const ExportFormat& format_of(const std::string& name) {
  for (const ExportFormat& format : export_formats()) {
    if (format.name == name) return format;
  }
  std::vector<std::string> names;
  for (const ExportFormat& format : export_formats()) names.push_back(format.name);
  throw_usage("export needs --to", "one of: " + join(names, ", "));
}

void check_free(const ExportFormat& format,
                const fs::path& out,
                const ExportOptions& options,
                const fs::path& weights) {
  std::error_code ignored;
  if (format.is_folder) {
    if (fs::exists(out, ignored) && !fs::is_directory(out, ignored)) {
      throw_usage(fmt::format("--out: {} is a file, --to {} writes a folder", out.string(), format.name),
                  "choose another --out");
    }
    check_output_folder(out, "--out");
    if (fs::equivalent(out, weights.has_parent_path() ? weights.parent_path() : fs::path("."), ignored)) {
      throw_usage(fmt::format("--out: {} is the folder of the weights that are exported", out.string()),
                  "choose another --out");
    }
  } else {
    const std::array<fs::path, 1> inputs{weights};
    check_output(out, inputs, "--out");
  }
  const bool is_taken =
      format.is_folder ? fs::exists(out, ignored) && !fs::is_empty(out, ignored) : fs::is_regular_file(out, ignored);
  if (is_taken && !options.overwrite) {
    throw_usage(fmt::format("--out: {} exists", out.string()), "choose another --out, or say --overwrite");
  }
}

/// Ranges for int8, measured on rows spread over the file's training rows, or over all rows where none is called so.
std::map<std::string, std::pair<float, float>> calibrate(const ExportOptions& options,
                                                         const network::LoadedWeights& weights,
                                                         ProgressListener& listener) {
  data::DataOptions data_options = options.data;
  data_options.labels = false;
  const data::Dataset faces = runs::load_faces(data_options, weights, listener);
  std::vector<int64_t> candidates;
  for (int64_t i = 0; i < faces.size(); ++i) {
    if (faces.usages[static_cast<size_t>(i)] == data::Usage::training) candidates.push_back(i);
  }
  const bool has_training = !candidates.empty();
  if (!has_training) {
    candidates.resize(static_cast<size_t>(faces.size()));
    std::iota(candidates.begin(), candidates.end(), int64_t{0});
  }
  const auto known = static_cast<int64_t>(candidates.size());
  const int64_t count = std::min(known, options.calibration_faces);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(candidates[static_cast<size_t>(i * known / count)]);
  listener.line(fmt::format("ranges of int8 measured on {}{} of {}",
                            with_commas(count),
                            has_training ? " training faces" : " faces",
                            faces.source));
  return output_ranges(weights, faces, rows, listener);
}

OnnxOptions onnx_options(const ExportOptions& options,
                         const network::LoadedWeights& weights,
                         ProgressListener& listener) {
  OnnxOptions onnx{.float_input = options.input == "float",
                   .logits = options.output == "logits",
                   .temperature = options.temperature};
  if (options.fp16) onnx.precision = Precision::float16;
  if (options.int8) {
    onnx.precision = Precision::int8;
    onnx.ranges = calibrate(options, weights, listener);
  }
  return onnx;
}

void check_precision(const ExportOptions& options) {
  if (options.fp16 && options.int8) throw_usage("--fp16 and --int8 exclude each other", "choose one of them");
  if (options.to != "onnx" && (options.fp16 || options.int8)) {
    throw_usage(fmt::format("--to {} has neither --fp16 nor --int8", options.to), "--to onnx has both");
  }
  if (options.int8 && options.data.data.empty()) {
    throw_usage("--int8 needs faces to measure its ranges on", "--data FILE.csv, such as the training data");
  }
}

Files files_of(const ExportOptions& options,
               const fs::path& file,
               const network::LoadedWeights& weights,
               ProgressListener& listener) {
  const FrozenNetwork network = freeze(weights);
  if (options.to == "onnx") return {{"", onnx_model(network, onnx_options(options, weights, listener))}};
  if (options.to == "torchscript") return {{"", torchscript_model(network)}};
  if (options.to == "web") return web_folder(network);
  std::string bytes = read_text(file, uint64_t{1} << 40);
  if (options.to == "c") return c_folder(std::move(bytes));
  return {{"weights.safetensors", std::move(bytes)}, {"model.py", pytorch_module(network)}};
}

}  // namespace

std::vector<ExportedFile> export_run(const ExportOptions& options, ProgressListener& listener) {
  const ExportFormat& format = format_of(options.to);
  check_precision(options);
  const fs::path file = runs::weights_file(options.weights);
  if (!options.out.empty()) check_free(format, options.out, options, file);
  const network::LoadedWeights weights = network::load_weights(file);
  const fs::path out =
      options.out.empty() ? fs::path(weights.network.graph().name + format.suffix) : fs::path(options.out);
  if (options.out.empty()) check_free(format, out, options, file);
  std::vector<ExportedFile> written;
  for (const auto& [name, content] : files_of(options, file, weights, listener)) {
    const fs::path path = name.empty() ? out : out / name;
    write_atomic(path, content);
    written.push_back({path, static_cast<int64_t>(content.size())});
    listener.line(fmt::format("{:>12} bytes  {}", with_commas(written.back().bytes), path.string()));
  }
  return written;
}

}  // namespace mien::exporting
