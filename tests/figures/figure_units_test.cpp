#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/synthetic/drawn_faces.h"
#include "mien/figures/figure.h"
#include "mien/figures/figure_output.h"
#include "mien/report/canvas.h"

namespace mien::figures {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

/// Three filters that see one pixel each: the pixel's brightness, nothing (dead behind the ReLU), and its brightness
/// above 0.6; behind them a class for each of seven outputs.
network::LoadedWeights planted(const network::Normalization& normalization = {}) {
  const fs::path folder = fresh_folder("planted");
  write_atomic(folder / "n.toml",
               "name = \"planted\"\ninput = [1, 48, 48]\nlayers = [ { conv = 3, kernel = 1 }, \"relu\", \"flatten\", "
               "{ dense = 7 } ]\n");
  network::Network network(network::load_graph((folder / "n.toml").string()), 3);
  {
    const at::NoGradGuard no_grad;
    network.tensor("conv1.weight").copy_(at::tensor({1.0F, -1.0F, 1.0F}).reshape({3, 1, 1, 1}));
    network.tensor("conv1.bias").copy_(at::tensor({0.0F, 0.0F, -0.6F}));
  }
  return {.network = std::move(network),
          .info = {.normalization = normalization, .class_names = {}, .extra = {}},
          .hash = "hash"};
}

data::Dataset faces_of(int64_t per_class) { return data::draw_faces({.count_per_class = per_class}); }

struct Drawing {
  explicit Drawing(data::Dataset set, const network::Normalization& normalization = {})
      : faces(std::move(set)),
        loaded(planted(normalization)),
        context(loaded, faces, SplitRows::by_usage(faces), heard) {}
  data::Dataset faces;
  network::LoadedWeights loaded;
  Heard heard;
  ExplainContext context;
};

/// Rows of a csv without quotes, by the name of their column.
std::vector<std::map<std::string, std::string>> read_csv(const fs::path& file) {
  std::vector<std::map<std::string, std::string>> rows;
  std::vector<std::string> header;
  for (const std::string& line : split(read_text(file), '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string> cells = split(line, ',');
    if (header.empty()) {
      header = cells;
      continue;
    }
    EXPECT_EQ(cells.size(), header.size()) << line;
    for (size_t i = 0; i < cells.size(); ++i) (i == 0 ? rows.emplace_back() : rows.back())[header[i]] = cells[i];
  }
  return rows;
}

double number(const std::string& text) { return parse_double(text).value(); }

TEST(Units, WritesTheMeansThatThePixelsGive) {
  const WithoutPictures quick;
  Drawing drawing(faces_of(10));
  const fs::path folder = fresh_folder("units");
  UnitFigure figure;
  figure.rows = "test";
  draw_figure(figure, drawing.context, folder, true);

  // By hand, from the bytes of the test rows: each face's activation is the mean over its pixels.
  const data::Dataset& faces = drawing.faces;
  std::map<std::string, std::vector<double>> bright, above;
  std::vector<double> all;
  for (int64_t row = 0; row < faces.size(); ++row) {
    if (faces.usages[static_cast<size_t>(row)] != data::Usage::public_test) continue;
    double sum = 0, sum_above = 0;
    for (const uint8_t level : faces.image(row)) {
      sum += level / 255.0;
      sum_above += std::max(0.0, level / 255.0 - 0.6);
    }
    const std::string& name = faces.class_names[static_cast<size_t>(faces.labels[static_cast<size_t>(row)])];
    bright[name].push_back(sum / 2304);
    above[name].push_back(sum_above / 2304);
    all.push_back(sum / 2304);
  }
  ASSERT_EQ(all.size(), 14U);
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  const auto rows = read_csv(folder / "units_relu1.csv");
  ASSERT_EQ(rows.size(), 3U);
  std::pair<double, std::string> most{-1, ""};
  double others = 0;
  for (const std::string& name : faces.class_names) {
    EXPECT_NEAR(number(rows[0].at(name)), mean(bright[name]), 1e-5) << name;
    EXPECT_EQ(rows[1].at(name), "0") << name;
    EXPECT_NEAR(number(rows[2].at(name)), mean(above[name]), 1e-5) << name;
    most = std::max(most, {mean(bright[name]), name});
    others += mean(bright[name]);
  }
  others = (others - most.first) / 6;
  double squares = 0;
  for (const double value : all) squares += (value - mean(all)) * (value - mean(all));
  EXPECT_EQ(rows[0].at("layer"), "relu1");
  EXPECT_EQ(rows[2].at("unit"), "2");
  EXPECT_NEAR(number(rows[0].at("mean")), mean(all), 1e-5);
  EXPECT_NEAR(number(rows[0].at("deviation")), std::sqrt(squares / 14), 1e-5);
  EXPECT_EQ(rows[0].at("active_share"), "1");
  EXPECT_EQ(rows[0].at("preferred_class"), most.second);
  EXPECT_NEAR(number(rows[0].at("selectivity")), (most.first - others) / (most.first + others), 1e-4);
  EXPECT_EQ(rows[1].at("active_share"), "0");
  EXPECT_EQ(rows[1].at("preferred_class"), "");
  EXPECT_EQ(rows[1].at("selectivity"), "");

  EXPECT_TRUE(contains(drawing.heard.lines, "relu1 (3*48*48): 1 of 3 filters is dead: 0 for every face (1)"))
      << drawing.heard.lines;
  EXPECT_TRUE(contains(drawing.heard.lines, "relu1: most selective: ")) << drawing.heard.lines;
  EXPECT_EQ(read_csv(folder / "units_dense1.csv").size(), 7U) << "the dense layer too";
  EXPECT_TRUE(contains(drawing.heard.lines, "dense1 (7): ")) << drawing.heard.lines;
  EXPECT_TRUE(contains(drawing.heard.lines, "of 7 units")) << drawing.heard.lines;
  const auto json = read_json(folder / "units_relu1.json");
  EXPECT_EQ(json.at("units_never_above_0"), (std::vector<int>{1}));
  EXPECT_EQ(json.at("class_faces"), (std::vector<int>(7, 2)));
  EXPECT_EQ(json.at("order").back(), 1) << "a dead unit stands last";
  EXPECT_EQ(json.at("options").at("part"), "test");
}

TEST(Units, AreThoseOfTheFacesThatWereChosen) {
  const WithoutPictures quick;
  Drawing drawing(faces_of(10));
  UnitFigure figure;
  figure.layers.layers = {"relu1"};
  const auto mean_with = [&](const std::string& faces) {
    figure.faces = faces;
    const fs::path folder = fresh_folder("chosen");
    draw_figure(figure, drawing.context, folder, true);
    return number(read_csv(folder / "units_relu1.csv")[0].at("mean"));
  };
  const auto bytes = drawing.faces.image(5);
  EXPECT_NEAR(mean_with("row:5"), std::accumulate(bytes.begin(), bytes.end(), 0.0) / 255 / 2304, 1e-5);
  EXPECT_NE(mean_with("test"), mean_with("all"));
  figure.rows = "test";
  const double by_part = mean_with("all");
  figure.rows = "all";
  EXPECT_EQ(mean_with("test"), by_part);
}

TEST(Units, AreDrawnAsOnePictureForEachLayer) {
  if (!report::can_draw()) GTEST_SKIP() << "needs pictures";
  Drawing drawing(faces_of(5));
  const fs::path folder = fresh_folder("drawn units");
  for (const char* values : {"standardized", "mean"}) {
    UnitFigure figure;
    figure.values = values;
    figure.picture.file = fmt::format("{}_{{layer}}.png", values);
    const auto drawn = draw_figure(figure, drawing.context, folder, false);
    ASSERT_EQ(drawn.size(), 2U);
    EXPECT_EQ(drawn[0].path.filename(), fmt::format("{}_relu1.png", values));
    EXPECT_TRUE(contains(drawn[0].caption, "What the filters of relu1 (3*48*48) answer to")) << drawn[0].caption;
    EXPECT_TRUE(contains(drawn[1].caption, "What the units of dense1 (7) answer to")) << drawn[1].caption;
    EXPECT_TRUE(read_text(drawn[0].path).starts_with("\x89PNG"));
  }
  EXPECT_FALSE(fs::exists(folder / "mean_relu1.csv")) << "a contract's folder holds its pictures alone";
}

TEST(Units, SayWhatIsWrong) {
  const WithoutPictures quick;
  const auto complaint = [](ErrorCode code, const auto& change) {
    Drawing drawing(faces_of(5));
    UnitFigure figure;
    change(figure, drawing.faces);
    return error_line(code, [&] {
      check_figure(figure, drawing.context.graph());
      draw_figure(figure, drawing.context, fresh_folder("wrong"), true);
    });
  };
  using Faces = data::Dataset;
  EXPECT_TRUE(contains(complaint(ErrorCode::usage,
                                 [](UnitFigure& f, Faces&) {
                                   f.layers.units = "0-2";
                                   f.layers.layers = {"conv7"};
                                 }),
                       "conv7"));
  EXPECT_TRUE(contains(complaint(ErrorCode::usage, [](UnitFigure& f, Faces&) { f.layers.units = "0-7"; }),
                       "relu1 has no units"));
  EXPECT_TRUE(
      contains(complaint(ErrorCode::usage, [](UnitFigure& f, Faces&) { f.picture.file = "units.png"; }), "{layer}"));
  EXPECT_TRUE(contains(complaint(ErrorCode::usage,
                                 [](UnitFigure& f, Faces&) {
                                   f.rows = "test";
                                   f.faces = "random:5";
                                 }),
                       "expected one of both"));
  EXPECT_TRUE(contains(complaint(ErrorCode::usage, [](UnitFigure& f, Faces&) { f.faces = "rows:35"; }), "row 35"));
  EXPECT_TRUE(contains(complaint(ErrorCode::usage, [](UnitFigure& f, Faces&) { f.faces = "tets"; }), "'test'"));
  EXPECT_TRUE(contains(complaint(ErrorCode::bad_data, [](UnitFigure& f, Faces&) { f.rows = "validation"; }),
                       "no validation rows"));
  EXPECT_TRUE(contains(complaint(ErrorCode::bad_data,
                                 [](UnitFigure&, Faces& faces) {
                                   std::fill(faces.labels.begin(), faces.labels.end(), data::kUnlabeled);
                                 }),
                       "none of the 35 faces"));
}

TEST(Units, OfAClassWithoutFacesHaveNoMean) {
  const WithoutPictures quick;
  Drawing drawing(faces_of(3));
  std::replace(drawing.faces.labels.begin(), drawing.faces.labels.end(), 1, 0);
  const fs::path folder = fresh_folder("absent");
  draw_figure(UnitFigure(), drawing.context, folder, true);
  const auto rows = read_csv(folder / "units_relu1.csv");
  EXPECT_EQ(rows[0].at(drawing.faces.class_names[1]), "");
  EXPECT_NE(rows[0].at(drawing.faces.class_names[0]), "");
}

TEST(Black, IsWhatNormalizingABlackPixelGives) {
  using Kind = network::Normalization::Kind;
  for (const network::Normalization& normalization : {network::Normalization{},
                                                      network::Normalization{Kind::dataset, 0.507, 0.255},
                                                      network::Normalization{Kind::per_image, 0, 1}}) {
    data::Dataset faces = faces_of(2);
    for (int64_t row = 0; row < faces.size(); ++row) faces.pixels[static_cast<size_t>(row * 2304 + 7)] = 0;
    Drawing drawing(std::move(faces), normalization);
    const at::Tensor images = drawing.context.images({4, 9, 2});
    const at::Tensor black = drawing.context.black({4, 9, 2});
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_NEAR(black[i].item<float>(), images[i][0][0][7].item<float>(), 2e-6) << normalization.text();
    EXPECT_EQ(black[0].item<float>() < 0, normalization.kind != Kind::scale);
  }
}

TEST(Black, IsWhatTheProgramHidesWith) {
  // The class's score is one pixel: what occlusion takes from it says what it was replaced by.
  const network::Normalization normalization{network::Normalization::Kind::dataset, 0.5, 0.25};
  Drawing drawing(faces_of(2), normalization);
  MapFigure figure{.faces = "rows:3,8"};
  figure.map.method.perturbation.occlusion_window = figure.map.method.perturbation.occlusion_stride = 48;
  const FaceRequest asked = face_request(figure, drawing.context);
  EXPECT_TRUE(asked.request.black.allclose(at::tensor({-2.0F, -2.0F})));
  const explain::Attributions maps = explain::explain(explain::method("occlusion"), asked.request, asked.options);
  const at::NoGradGuard no_grad;
  const auto score = [&](const at::Tensor& images) {
    return explain::score_of(drawing.context.network().forward(images, network::Mode::evaluation),
                             asked.request.targets,
                             explain::Score::logit);
  };
  const at::Tensor lost = score(asked.request.images) - score(at::full_like(asked.request.images, -2.0));
  EXPECT_TRUE(maps.values.select(1, 0).select(1, 0).allclose(lost, 1e-4, 1e-5));
}

}  // namespace
}  // namespace mien::figures
