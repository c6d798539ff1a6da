#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/figures/figure.h"
#include "mien/report/sheet.h"

namespace mien::figures {

/// Facts for a sidecar, in order: name and JSON text.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// Writes one figure's pictures, their numbers and their sidecars.
class FigureOutput {
 public:
  /// `figure` and `context` must outlive it.
  FigureOutput(const Figure& figure, const ExplainContext& context, std::filesystem::path folder, bool raw);

  /// Whether the file name holds {token}.
  bool has(const std::string& token) const;
  /// The file's path with its {tokens} replaced.
  std::filesystem::path path(const std::map<std::string, std::string>& tokens) const;
  /// Draws `sheet` by the ending of `path`, and beside it in the figure's other formats, with as many words as the
  /// figure's caption asks for. In a build without pictures it is left out where its numbers are written.
  void picture(const std::filesystem::path& path, report::Sheet sheet, const std::string& caption);
  /// Writes `values` beside the picture, as .npy with the picture's name (and `suffix`). Nothing without raw.
  void numbers(const std::filesystem::path& picture, const at::Tensor& values, const std::string& suffix = {}) const;
  /// Writes a sidecar .json beside the picture: `facts`, then the figure's options, network, hash of the weights, data
  /// and version. Nothing without raw.
  void sidecar(const std::filesystem::path& picture, const Facts& facts, const std::string& suffix = {}) const;
  /// Writes `text` beside the picture, as a file with the picture's name and this ending. Nothing without raw.
  void text(const std::filesystem::path& picture, const std::string& ending, const std::string& text) const;

  bool has_raw() const { return raw_; }
  const std::vector<runs::DrawnPicture>& drawn() const { return drawn_; }

 private:
  const Figure& figure_;
  const ExplainContext& context_;
  std::filesystem::path folder_;
  bool raw_;
  std::vector<runs::DrawnPicture> drawn_;
};

/// A contiguous copy of a tensor's float32 values.
std::vector<float> floats(const at::Tensor& values);
/// JSON texts.
std::string json_text(const std::string& text);
std::string json_number(double value);  ///< null where it is not finite
std::string json_list(const std::vector<int64_t>& values);

}  // namespace mien::figures
