#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/core/options.h"
#include "mien/figures/figure.h"
#include "mien/report/sheet.h"

namespace mien::figures {

/// Writes one figure's pictures, their numbers and their sidecars.
class FigureOutput {
 public:
  FigureOutput(const Figure& figure, const ExplainContext& context, std::filesystem::path folder, bool raw);

  /// Whether the file name holds {token}.
  bool has(const std::string& token) const;
  /// The file's path with its {tokens} replaced; tokens that are not given stay out.
  std::filesystem::path path(const std::map<std::string, std::string>& tokens) const;
  /// Draws `sheet` by the ending of `path`. In a build without pictures the picture is left out where its numbers are written.
  void picture(const std::filesystem::path& path, const report::Sheet& sheet, const std::string& caption);
  /// Writes `values` beside the picture, as .npy with the picture's name (and `suffix`). Nothing without raw.
  void numbers(const std::filesystem::path& picture, const at::Tensor& values, const std::string& suffix = {}) const;
  /// Writes a sidecar .json beside the picture: `facts` (name and JSON text, in order), then the figure's options,
  /// network, hash of the weights, data and version. Nothing without raw.
  void sidecar(const std::filesystem::path& picture,
               const std::vector<std::pair<std::string, std::string>>& facts,
               const std::string& suffix = {}) const;

  /// Writes `text` beside the picture, as a file with the picture's name and this ending. Nothing without raw.
  void text(const std::filesystem::path& picture, const std::string& ending, const std::string& text) const;

  bool has_raw() const { return raw_; }
  const std::vector<runs::DrawnPicture>& drawn() const { return drawn_; }

 private:
  const Figure& figure_;
  const ExplainContext& subject_;
  std::filesystem::path folder_;
  bool raw_;
  std::vector<runs::DrawnPicture> drawn_;
};

/// "angry 0.93"
std::string class_text(const ExplainContext& context, int64_t index, double probability);
/// A face as a panel: row, label, what the network takes it for; framed by whether that is right.
report::Panel face_panel(const ExplainContext& context, const Face& face, int64_t factor);
/// Gray levels of a face, [H,W]: of several channels the mean.
std::vector<uint8_t> gray_levels(const ExplainContext& context, int64_t row);
/// A contiguous copy of a tensor's float32 values.
std::vector<float> floats(const at::Tensor& values);
/// A number with three significant digits.
std::string short_number(double value);
/// JSON texts.
std::string json_text(const std::string& text);
std::string json_number(double value);  ///< null where it is not finite
std::string json_list(const std::vector<int64_t>& values);

/// What a figure asks of its faces, as the methods take it.
struct FaceRequest {
  std::vector<Face> faces;
  explain::AttributionRequest request;
  at::Tensor evidence;             ///< [N,H,W]: where drawn faces carry their expression; undefined for other data
  explain::MethodOptions options;  ///< with the faces that expected-gradients draws from
};
FaceRequest face_request(const Figure& figure, ExplainContext& context);

// What draw_figure calls, by kind.
void draw_maps(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_contact_sheets(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_weights(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_outputs(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_ascent(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_faces(const Figure& figure, ExplainContext& context, FigureOutput& output);
void draw_units(const Figure& figure, ExplainContext& context, FigureOutput& output);

/// What a layer's channels are called: "unit" of a flat layer, else "filter".
std::string unit_noun(const network::Graph& graph, int layer);
/// "filters 0 to 63", "units 3, 7, 9", "filter 3".
std::string units_text(const network::Graph& graph, int layer, const std::vector<int64_t>& units);
/// A unit's name below its picture: its number, or of the network's last layer its class.
std::string unit_name(const ExplainContext& context, int layer, int64_t unit);
/// The data's file name.
std::string source_name(const ExplainContext& context);

/// The layers that the figure names, or the network's convolutions (of `faces` the last; of `units` the last and the
/// dense layers, each at its activation).
std::vector<int> figure_layers(const Figure& figure, const network::Graph& graph);
/// The units of each of those layers.
std::vector<std::vector<int64_t>> figure_units(const Figure& figure,
                                               const network::Graph& graph,
                                               const std::vector<int>& layers);

}  // namespace mien::figures
