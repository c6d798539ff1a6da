#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/data/load.h"
#include "mien/figures/figure.h"

namespace mien::figures {

/// What `mien explain` and the `mien inside` commands have in common: a trained network, faces, a folder.
struct ExplainRunOptions {
  std::string weights;  ///< weights file or run folder, or the folder of an ensemble, whose members come one by one
  data::DataOptions data_options;  ///< FER+ labels, bad rows
  std::string data;                ///< csv, folder or drawn faces; empty where the figure needs none
  std::string out;                 ///< empty: RUN/explain for a run folder, else runs/explain
  std::string rows;                ///< "5,7-9": short for faces = rows:5,7-9
  std::string usage = "all";
  int64_t threads = 0;

  /// With `has_data` also usage, and rows for what looks at chosen faces.
  void bind(OptionSet& options, bool has_data, bool chooses_rows = true);
  /// The folder that is written into.
  std::filesystem::path folder() const;
};

/// A loaded network with its faces. Checks `figures` against the network before it reads the data.
class ExplainSession {
 public:
  ExplainSession(const ExplainRunOptions& options, const std::vector<Figure>& figures, ProgressListener& listener);
  ExplainSession(const ExplainSession&) = delete;
  ExplainSession& operator=(const ExplainSession&) = delete;
  ExplainContext& context() { return *subject_; }

 private:
  network::LoadedWeights loaded_;
  data::Dataset dataset_;
  std::optional<ExplainContext> subject_;
};

/// Draws `figures` as the options say, with raw numbers and sidecars. Returns the pictures (none where
/// report::can_draw() is false).
std::vector<runs::DrawnPicture> draw_figures(const ExplainRunOptions& options,
                                             const std::vector<Figure>& figures,
                                             ProgressListener& listener);

/// The figures of `mien explain`: one picture for each face and method and, with `sheet` above 0, for each class and
/// method a contact sheet of that many recognized faces and as many that are not.
std::vector<Figure> explain_figures(const MapFigure& wish, const ExplainRunOptions& options, int64_t sheet);

/// Puts the figure's methods to the test on its faces: evaluation.txt, .csv and .json into the folder, and
/// evaluation.png, the methods side by side by the measure that ranks them. Returns the table and its JSON.
struct MethodEvaluation {
  std::string text;
  std::string json;
};
MethodEvaluation evaluate_task(const ExplainRunOptions& options, const MapFigure& figure, ProgressListener& listener);

/// What a method needs, in a few words: "a layer", "a seed", "not for leaky4 conv3" (the built-in networks for which it
/// is not defined), or, with a network, why it is not defined for that; "-" for nothing.
std::string method_needs(const explain::MethodSpec& spec, const network::Graph* graph);

/// The method table as `mien methods` prints it: family, whether maps have a sign, cost, what it needs, source.
std::string method_table_text(const network::Graph* graph);
/// The same as a JSON list.
std::string method_table_json(const network::Graph* graph);

}  // namespace mien::figures
