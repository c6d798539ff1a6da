#include "mien/figures/figure.h"

#include <algorithm>
#include <numeric>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "mien/core/files.h"
#include "mien/data/readers/image_io.h"
#include "mien/data/synthetic/drawn_faces.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/explain_run.h"
#include "mien/recipes/recipe.h"
#include "mien/recipes/recipe_figures.h"
#include "mien/report/canvas.h"
#include "mien/runs/train_run.h"

namespace mien::figures {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

/// leaky4 of a quarter of its width: every layer name of the recipe's figures, in a second.
constexpr const char* kSmallLeaky = R"(name = "leaky4"
input = [1, 48, 48]
layers = [
  { conv = 32, kernel = 5, padding = "same", stride = 2 }, { leaky_relu = 0.05 }, "batch_norm", { max_pool = 2 },
  { conv = 48, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm", { max_pool = 2 },
  { conv = 32, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm",
  { conv = 32, kernel = 3, padding = "same" }, { leaky_relu = 0.05 }, "batch_norm",
  "flatten", { dense = 7 },
]
)";

/// A network trained for a moment on drawn faces, once for all tests.
const fs::path& trained_run() {
  static const fs::path run = [] {
    const WithoutPictures quick;
    const fs::path folder = fresh_folder("trained");
    write_atomic(folder / "leaky.toml", kSmallLeaky);
    SmallExperiment small(folder,
                          {{"network", (folder / "leaky.toml").string()},
                           {"data", "drawn:350"},
                           {"epochs", "3"},
                           {"batch-size", "25"},
                           {"lr", "0.003"}});
    return *runs::train_task(small.experiment, small.options, silent_listener());
  }();
  return run;
}

std::vector<float> npy_values(const fs::path& file) {
  const std::string bytes = read_text(file);
  const size_t begin = 10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<size_t>(static_cast<uint8_t>(bytes[9]));
  std::vector<float> values((bytes.size() - begin) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + begin, values.size() * sizeof(float));
  return values;
}

ExplainRunOptions look(const fs::path& folder) {
  return {.weights = trained_run().string(), .data = "drawn:70", .out = folder.string()};
}

Figure saliency() {
  Figure figure;
  figure.file = "{method}/row{row}.png";
  figure.faces = "rows:3,5";
  return figure;
}

TEST(FaceSelection, ReadsEveryForm) {
  using Kind = FaceSelection::Kind;
  EXPECT_EQ(FaceSelection::parse("rows:5,7-9").numbers, (std::vector<int64_t>{5, 7, 8, 9}));
  EXPECT_EQ(FaceSelection::parse("row:5").kind, Kind::rows);
  const FaceSelection test = FaceSelection::parse("test:0-5");
  EXPECT_EQ(test.kind, Kind::positions);
  EXPECT_EQ(test.part, "test");
  EXPECT_EQ(test.numbers.size(), 6U);
  EXPECT_EQ(FaceSelection::parse("random:5").count, 5);
  EXPECT_EQ(FaceSelection::parse("validation:correct-per-class:3").count, 3);
  EXPECT_EQ(FaceSelection::parse("most-confident-per-class").kind, Kind::confident);
}

TEST(FaceSelection, RefusesWhatIsNone) {
  const auto complaint = [](const std::string& text) {
    return error_line(ErrorCode::usage, [&] { FaceSelection::parse(text); });
  };
  EXPECT_TRUE(contains(complaint("corect-per-class"), "did you mean 'correct-per-class'?"));
  EXPECT_TRUE(contains(complaint("rows:9-7"), "rows:9-7"));
  EXPECT_TRUE(contains(complaint("rows:"), "rows:5,7-9"));
  EXPECT_TRUE(contains(complaint("random"), "count from 1"));
  EXPECT_TRUE(contains(complaint(""), "faces are"));
}

TEST(Explain, WritesTheMethodsMapAndSaysHowItWasMade) {
  const fs::path folder = fresh_folder("explain");
  const WithoutPictures quick;
  Heard heard;
  draw_figures(look(folder), {saliency()}, heard);
  EXPECT_TRUE(contains(heard.warnings, "MIEN_PICTURES")) << "numbers without pictures are announced";

  // The map, computed by hand: the absolute gradient of the predicted class's logit.
  const network::LoadedWeights loaded = network::load_weights(trained_run() / "weights" / "best.safetensors");
  const data::Dataset faces = data::draw_faces({.count_per_class = 10});
  ExplainContext context(loaded, faces, SplitRows::by_usage(faces), silent_listener());
  const Face face = context.faces({5}).front();
  const explain::InputGradient gradient = explain::input_gradient(
      {.network = context.network(), .images = context.images({5}), .targets = at::tensor({int64_t{face.predicted}})});
  const at::Tensor expected = gradient.gradient.abs()[0][0].contiguous();
  const std::vector<float> written = npy_values(folder / "saliency" / "row5.npy");
  ASSERT_EQ(written.size(), 48U * 48U);
  const float largest = expected.max().item<float>();
  for (size_t i = 0; i < written.size(); ++i)
    ASSERT_NEAR(written[i], expected.data_ptr<float>()[i], 1e-5 * largest) << i;

  const auto json = read_json(folder / "saliency" / "row5.json");
  EXPECT_EQ(json.at("method"), "saliency");
  EXPECT_EQ(json.at("target"), faces.class_names[static_cast<size_t>(face.predicted)]);
  EXPECT_EQ(json.at("label"), faces.class_names[5]);
  EXPECT_NEAR(json.at("probability").get<double>(), face.probabilities[static_cast<size_t>(face.predicted)], 1e-9);
  EXPECT_EQ(json.at("weights_hash"), loaded.hash);
  EXPECT_EQ(json.at("seed"), 0);
  EXPECT_TRUE(json.at("layer").is_null());
  EXPECT_FLOAT_EQ(json.at("maximum").get<float>(), *std::max_element(written.begin(), written.end()));
  EXPECT_FLOAT_EQ(json.at("minimum").get<float>(), *std::min_element(written.begin(), written.end()));
  EXPECT_EQ(json.at("options").at("score"), "logit");
  for (const char* measure : {"deletion-auc", "insertion-auc", "mass-accuracy"}) {
    const double value = json.at("faithfulness").at(measure).get<double>();
    EXPECT_GE(value, 0) << measure;
    EXPECT_LE(value, 1) << measure;
  }
}

TEST(Explain, NamesTheLayerThatWasChosen) {
  const fs::path folder = fresh_folder("layer");
  const WithoutPictures quick;
  Figure figure = saliency();
  figure.methods = {"grad-cam"};
  figure.method.layer = "conv2";
  figure.measure = false;
  Heard heard;
  draw_figures(look(folder), {figure}, heard);
  EXPECT_TRUE(contains(heard.lines, "grad-cam looks at conv2 (48*12*12)"));
  EXPECT_EQ(read_json(folder / "grad-cam" / "row3.json").at("layer"), "conv2 (48*12*12)");
}

TEST(Explain, ReportsAMapThatShowsNothing) {
  const fs::path folder = fresh_folder("dead");
  const WithoutPictures quick;
  // A network that ignores its input.
  network::LoadedWeights loaded = network::load_weights(trained_run() / "weights" / "best.safetensors");
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor tensor : loaded.network.tensors()) tensor.zero_();
  }
  network::save_weights(folder / "dead.safetensors", loaded.network, loaded.info);
  ExplainRunOptions options = look(folder);
  options.weights = (folder / "dead.safetensors").string();
  Figure figure = saliency();
  figure.measure = false;
  Heard heard;
  draw_figures(options, {figure}, heard);
  EXPECT_TRUE(contains(heard.warnings, "saliency of row 3 for angry shows nothing: all zero"));
  EXPECT_EQ(read_json(folder / "saliency" / "row3.json").at("problem"), "all zero");
}

TEST(Explain, DrawsTheSameBytesTwiceAsPngAndJpg) {
  if (!report::can_draw() || !data::has_image_files()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("twice");
  Figure figure = saliency();
  figure.methods = {"lime"};
  figure.method.perturbation.lime_samples = 50;
  figure.measure = false;
  Figure jpg = figure;
  jpg.file = "{class}.jpg";
  std::vector<std::string> bytes;
  for (const char* name : {"a", "b"}) {
    for (const runs::DrawnPicture& picture : draw_figures(look(folder / name), {figure, jpg}, silent_listener()))
      bytes.push_back(read_text(picture.path));
  }
  ASSERT_EQ(bytes.size(), 8U);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(bytes[i] == bytes[i + 4]) << i;
  EXPECT_TRUE(bytes[0].starts_with("\x89PNG"));
  EXPECT_TRUE(bytes[2].starts_with("\xff\xd8\xff"));
}

TEST(Explain, RefusesWhatTheNetworkCannotDoBeforeItReadsTheData) {
  const auto complaint = [](const auto& change) {
    Figure figure = saliency();
    change(figure);
    ExplainRunOptions options = look("/nonexistent");
    options.data = "/nonexistent.csv";
    return error_line(ErrorCode::usage, [&] { draw_figures(options, {figure}, silent_listener()); });
  };
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.methods = {"salience"}; }), "did you mean 'saliency'?"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.methods = {"guided-backprop"}; }), "guided-backprop for leaky4"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.methods = {"grad-cam"}, f.method.layer = "conv9"; }), "conv9"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.panels = {"imgae"}; }), "did you mean 'image'?"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.file = "map.gif"; }), ".png or .jpg"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.file = "../map.png"; }), "below"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.kind = FigureKind::ascent, f.units = "0-99"; }), "conv1"));
}

TEST(Explain, RefusesRowsAndTargetsThatDoNotExist) {
  const auto complaint = [](const auto& change) {
    Figure figure = saliency();
    change(figure);
    return error_line(ErrorCode::usage, [&] { draw_figures(look(fresh_folder("rows")), {figure}, silent_listener()); });
  };
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.faces = "rows:70"; }), "row 70 does not exist"));
  EXPECT_TRUE(contains(complaint([](Figure& f) { f.target = "hapy"; }), "did you mean 'happy'?"));
}

TEST(Inside, WritesWeightsOutputsAndAscentAsNumbers) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("inside");
  Figure weights{.kind = FigureKind::weights, .file = "weights_{layer}.png"};
  Figure outputs{.kind = FigureKind::outputs,
                 .file = "outputs_{layer}_row{row}.png",
                 .faces = "rows:4",
                 .layers = {"conv2"},
                 .units = "0-3"};
  Figure ascent{.kind = FigureKind::ascent, .file = "ascent_{layer}.png", .layers = {"conv1"}, .units = "0-4"};
  ascent.ascent.steps = 5;
  draw_figures(look(folder), {weights, outputs, ascent}, silent_listener());

  const network::LoadedWeights loaded = network::load_weights(trained_run() / "weights" / "best.safetensors");
  const at::Tensor kernel = loaded.network.tensor("conv2.weight").select(1, 0).contiguous();
  const std::vector<float> written = npy_values(folder / "weights_conv2.npy");
  EXPECT_TRUE(std::equal(written.begin(), written.end(), kernel.data_ptr<float>()))
      << "first input channel of all 48 filters";
  EXPECT_EQ(npy_values(folder / "outputs_conv2_row4.npy").size(), 4U * 12 * 12);
  EXPECT_EQ(npy_values(folder / "ascent_conv1.npy").size(), 5U * 48 * 48);
  const std::vector<float> objective = npy_values(folder / "ascent_conv1_objective.npy");
  ASSERT_EQ(objective.size(), 5U * 6);
  for (size_t unit = 0; unit < 5; ++unit) EXPECT_GT(objective[6 * unit + 5], objective[6 * unit]) << unit;
  EXPECT_EQ(read_json(folder / "ascent_conv1.json").at("units"), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(Figures, MistakesInARecipeHaveFileAndLine) {
  const auto complaint = [](const std::string& figure) {
    const fs::path file = fresh_folder("figures") / "r.toml";
    write_atomic(file, "title = \"t\"\nnetwork = \"leaky4\"\n[[figure]]\n" + figure);
    return error_line(ErrorCode::usage, [&] { recipes::load_recipe(file.string()); });
  };
  EXPECT_TRUE(contains(complaint("file = \"a.png\"\n"), "r.toml:3: a [[figure]] has no kind"));
  EXPECT_TRUE(contains(complaint("kind = \"mapp\"\n"), "r.toml:3: unknown kind of figure 'mapp'"));
  EXPECT_TRUE(contains(complaint("kind = \"map\"\nfile = \"a.png\"\nmetod = \"lime\"\n"), "'metod'"));
  EXPECT_TRUE(contains(complaint("kind = \"map\"\nfile = \"a.png\"\nmethod = \"guided-backprop\"\n"),
                       "r.toml:3: guided-backprop for leaky4"));
  EXPECT_TRUE(contains(complaint("kind = \"ascent\"\nfile = \"a.png\"\nlayers = \"conv7\"\n"), "r.toml:3"));
  EXPECT_TRUE(
      contains(complaint("kind = \"map\"\nfile = \"a.png\"\nruns = \"x\"\n"), "r.toml:3: the recipe has no run 'x'"));
}

TEST(Figures, OfTheContractAreExactlyTheNamedFilesAndTheSameTwice) {
  if (!report::can_draw() || !data::has_image_files()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("contract");
  const recipes::Recipe recipe = recipes::load_recipe("hw4-2019");
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"weights", trained_run().string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  for (const char* name : {"a", "b"})
    EXPECT_EQ(recipes::run_recipe(recipe, flags, {}, silent_listener(), folder / name), folder / name);
  std::vector<std::string> expected{"fig2_1.jpg", "fig2_2.jpg"};
  for (int c = 0; c < 7; ++c) {
    expected.push_back("fig1_" + std::to_string(c) + ".jpg");
    expected.push_back("fig3_" + std::to_string(c) + ".jpg");
    expected.push_back("fig4_" + std::to_string(c) + ".png");
  }
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "a"))
    found.push_back(fs::relative(entry.path(), folder / "a").string());
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
  for (const std::string& name : expected)
    EXPECT_TRUE(read_text(folder / "a" / name) == read_text(folder / "b" / name)) << name;
}

TEST(Figures, OfATrainedRunStandInItsReport) {
  if (!report::can_draw()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("report");
  const fs::path file = folder / "r.toml";
  write_atomic(
      file,
      "title = \"One\"\nepochs = 1\nbatch-size = 32\nnetwork = \"" + (folder / "small.toml").string() +
          "\"\n[[figure]]\nkind = \"map\"\nfile = \"look.png\"\nfaces = \"validation:0-1\"\nmeasure = false\n");
  const std::vector<Override> flags{{"data", "drawn:140", Origin::command_line, ""},
                                    {"project", (folder / "runs").string(), Origin::command_line, ""},
                                    {"threads", "1", Origin::command_line, ""}};
  const auto done = recipes::run_recipe(recipes::load_recipe(file.string()), flags, {}, silent_listener());
  ASSERT_TRUE(done);
  EXPECT_EQ(runs::read_figures(*done / "r").size(), 1U);
  EXPECT_TRUE(contains(read_text(*done / "report.html"), "Looked inside"));
  EXPECT_TRUE(contains(read_text(*done / "r" / "report.html"), "saliency of 2 faces"));
}

}  // namespace
}  // namespace mien::figures
