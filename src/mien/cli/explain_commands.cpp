#include "mien/cli/explain_commands.h"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/figures/explain_run.h"
#include "mien/network/graph/graph.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

std::string pictures_json(const figures::ExplainRunOptions& look, const std::vector<runs::DrawnPicture>& pictures) {
  ordered_json json{{"folder", look.folder().string()}, {"pictures", ordered_json::array()}};
  for (const runs::DrawnPicture& picture : pictures)
    json["pictures"].push_back({{"file", picture.path.string()}, {"caption", picture.caption}});
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// --rows is short for --faces rows:, so that only one of them can be meant.
void refuse_two_choices(const Call& call, const figures::ExplainRunOptions& look) {
  const auto* const faces = call.options.find("faces");
  if (look.rows.empty() || faces == nullptr || faces->origin == Origin::default_value) return;
  throw_usage(fmt::format("--rows {} and --faces {} both choose faces", look.rows, faces->text()),
              "--rows is short for --faces rows:; give one of the two");
}

Positional weights_word(figures::ExplainRunOptions& look) {
  return {"weights", "weights file, run folder or an ensemble's folder (every member)", &look.weights};
}
Positional data_word(figures::ExplainRunOptions& look) {
  return {"data", "csv or folder of faces, or drawn:COUNT", &look.data};
}

class ExplainCommand final : public ComputingCommand<ExplainCommand> {
 public:
  void bind(OptionSet& options) override {
    look_.bind(options, true);
    options.add(
        &sheet_,
        {.name = "sheet",
         .help =
             "also a contact sheet for each class of that many recognized faces and as many that are not; 0 for none",
         .minimum = 0,
         .maximum = 100});
    options.add(&evaluate_,
                {.name = "evaluate",
                 .help = "put the methods to the test instead of drawing maps: one table and one plot over all faces; "
                         "by default every method on random:50"});
    figure_.bind(options);
    bind_pictures(options, pictures_);
  }
  std::vector<Positional> positionals() override { return {weights_word(look_), data_word(look_)}; }
  int compute(const Call& call) {
    check_used(call.options);
    refuse_two_choices(call, look_);
    if (evaluate_) {
      if (call.options.find("faces")->origin == Origin::default_value) figure_.faces = "random:50";
      if (call.options.find("method")->origin == Origin::default_value) figure_.map.methods = {"all"};
      const figures::MethodEvaluation test = figures::evaluate_task(look_, figure_, call.terminal);
      call.terminal.result(test.text, test.json);
      return 0;
    }
    const auto pictures = figures::draw_figures(look_, figures::explain_figures(figure_, look_, sheet_), call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", pictures_json(look_, pictures));
    return 0;
  }

 private:
  /// Throws Error(usage) for options that nothing comes of.
  void check_used(const OptionSet& options) const {
    figures::MapFigure figure = figure_;
    if (!evaluate_) return figures::check_used(figure, options);
    if (options.find("method")->origin == Origin::default_value) figure.map.methods = {"all"};
    for (const OptionSet::Entry& entry : options.entries()) {
      if (entry.origin == Origin::default_value || entry.text() == entry.default_text) continue;
      const std::vector<std::string> of_pictures{
          "file", "title", "caption", "format", "panels", "clip", "recall", "measure", "sheet"};
      const bool is_of_pictures =
          std::find(of_pictures.begin(), of_pictures.end(), entry.spec.name) != of_pictures.end();
      const std::string why =
          is_of_pictures ? "belongs to pictures, and --evaluate draws no maps" : figure.map.unused(entry.spec.name);
      if (!why.empty()) throw_usage(fmt::format("{}: {} {}", entry.origin_detail, entry.spec.name, why));
    }
  }

  figures::ExplainRunOptions look_;
  figures::MapFigure figure_;
  int64_t sheet_ = 0;
  bool evaluate_ = false;
  bool pictures_ = true;
};

class MethodsCommand final : public ComputingCommand<MethodsCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("methods");
    options.add(&network_,
                {.name = "network",
                 .help = "say which methods are defined for this network (a built-in one or a network file)"});
  }
  int compute(const Call& call) {
    if (network_.empty()) {
      call.terminal.result(figures::method_table_text(nullptr), figures::method_table_json(nullptr));
    } else {
      const network::Graph graph = network::load_graph(network_);
      call.terminal.result(figures::method_table_text(&graph), figures::method_table_json(&graph));
    }
    return 0;
  }

 private:
  std::string network_;
};

/// One figure of a kind, drawn from weights and, where it needs them, faces.
template <class FigureOfKind>
class InsideCommand final : public ComputingCommand<InsideCommand<FigureOfKind>> {
 public:
  explicit InsideCommand(FigureOfKind figure) : figure_(std::move(figure)) {}
  void bind(OptionSet& options) override {
    look_.bind(options, kNeedsData, kChoosesFaces);
    if constexpr (kClimbs && !kNeedsData) {
      options.add(
          &look_.data,
          {.name = "data", .help = "csv or folder of faces, or drawn:COUNT, for --ascent-start faces and mean-face"});
    }
    figure_.bind(options);
    bind_pictures(options, pictures_);
  }
  std::vector<Positional> positionals() override {
    std::vector<Positional> words{weights_word(look_)};
    if (kNeedsData) words.push_back(data_word(look_));
    return words;
  }
  int compute(const Call& call) {
    figures::check_used(figure_, call.options);
    if constexpr (kClimbs) explain::apply_ascent_preset(call.options);
    if constexpr (kClimbs && !kNeedsData) {
      if (!look_.data.empty() && !figure_.reads_faces())
        throw_usage("--data: the ascent looks at no faces", "--ascent-start faces or mean-face does");
    }
    if constexpr (kChoosesFaces) {
      refuse_two_choices(call, look_);
      if (!look_.rows.empty()) figure_.faces = "rows:" + look_.rows;
    }
    const auto pictures = figures::draw_figures(look_, {figure_}, call.terminal);
    if (call.terminal.machine_readable()) call.terminal.result("", pictures_json(look_, pictures));
    return 0;
  }

 private:
  static constexpr bool kChoosesFaces =
      std::is_same_v<FigureOfKind, figures::OutputFigure> || std::is_same_v<FigureOfKind, figures::UnitFigure>;
  static constexpr bool kNeedsData = kChoosesFaces || std::is_same_v<FigureOfKind, figures::FaceFigure>;
  static constexpr bool kClimbs =
      std::is_same_v<FigureOfKind, figures::AscentFigure> || std::is_same_v<FigureOfKind, figures::FaceFigure>;

  figures::ExplainRunOptions look_;
  FigureOfKind figure_;
  bool pictures_ = true;
};

template <class FigureOfKind>
CommandSpec inside(const char* summary, FigureOfKind figure = {}) {
  return {std::string("inside ") + FigureOfKind::kKind, "Explaining", summary, [figure = std::move(figure)] {
            return std::make_unique<InsideCommand<FigureOfKind>>(figure);
          }};
}

}  // namespace

std::vector<CommandSpec> explain_commands() {
  using namespace figures;
  OutputFigure outputs{.faces = "rows:0"};
  outputs.picture.file = "outputs_{layer}_row{row}.png";
  AscentFigure ascent{.faces = "random:1"};
  return {{"explain",
           "Explaining",
           "what a network looks at: maps by any of the explanation methods",
           [] { return std::make_unique<ExplainCommand>(); }},
          {"methods",
           "Explaining",
           "the explanation methods: family, cost, needs, source",
           [] { return std::make_unique<MethodsCommand>(); }},
          inside<WeightFigure>("kernels of convolutions, and weights of dense units that read the image, as pictures"),
          inside("what layers make of a face", std::move(outputs)),
          inside("the inputs that drive filters and dense units most", std::move(ascent)),
          inside<FaceFigure>("the faces that drive filters and dense units most"),
          inside<UnitFigure>("how active filters and dense units are for each class, and which are dead")};
}

}  // namespace mien::cli
