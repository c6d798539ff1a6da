#include "mien/figures/figure.h"

#include <algorithm>
#include <numeric>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/readers/image_io.h"
#include "mien/data/synthetic/drawn_faces.h"
#include "mien/explain/units/filters.h"
#include "mien/figures/explain_run.h"
#include "mien/figures/panels.h"
#include "mien/report/canvas.h"
#include "mien/runs/training_record.h"

namespace mien::figures {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

namespace fs = std::filesystem;

/// What explaining `faces` of the run's own data says; "" where it is done.
std::string complaint_of(const std::string& faces, const std::string& usage = "all") {
  const WithoutPictures quick;
  ExplainRunOptions options;
  options.weights = small_leaky_run().string();
  options.data = "drawn:350";
  options.usage = usage;
  options.out = fresh_folder("complaint").string();
  MapFigure figure;
  figure.faces = faces;
  figure.measure = false;
  try {
    draw_figures(options, {figure}, silent_listener());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ExplainFaces, AreThoseThatWereAskedForOrTheErrorSaysWhereTheRowIs) {
  const auto loaded = network::load_weights(small_leaky_run() / "weights" / "best.safetensors");
  const auto record = runs::TrainingRecord::read(loaded.info);
  ASSERT_FALSE(record.test.empty());
  const std::string trained = std::to_string(record.training.front());
  const std::string tested = std::to_string(record.test.front());
  EXPECT_EQ(complaint_of("test:rows:" + tested), "");
  EXPECT_EQ(complaint_of("validation:rows:" + std::to_string(record.validation.front())), "");
  EXPECT_TRUE(contains(complaint_of("test:rows:" + trained), "row " + trained + " of drawn"))
      << complaint_of("test:rows:" + trained);
  EXPECT_TRUE(contains(complaint_of("test:rows:" + trained), "is a training row"));
  EXPECT_TRUE(contains(complaint_of("rows:" + trained, "public-test"), "Usage Training"));
}

std::vector<float> npy_values(const fs::path& file) {
  const std::string bytes = read_text(file);
  const size_t begin = 10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<size_t>(static_cast<uint8_t>(bytes[9]));
  std::vector<float> values((bytes.size() - begin) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + begin, values.size() * sizeof(float));
  return values;
}

ExplainRunOptions look(const fs::path& folder) {
  return {.weights = small_leaky_run().string(), .data = "drawn:70", .out = folder.string()};
}

MapFigure saliency() { return {.faces = "rows:3,5"}; }

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
  const network::LoadedWeights loaded = network::load_weights(small_leaky_run() / "weights" / "best.safetensors");
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
  MapFigure figure = saliency();
  figure.map.methods = {"grad-cam"};
  figure.map.method.layer = "conv2";
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
  network::LoadedWeights loaded = network::load_weights(small_leaky_run() / "weights" / "best.safetensors");
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor tensor : loaded.network.tensors()) tensor.zero_();
  }
  network::save_weights(folder / "dead.safetensors", loaded.network, loaded.info);
  ExplainRunOptions options = look(folder);
  options.weights = (folder / "dead.safetensors").string();
  MapFigure figure = saliency();
  figure.measure = false;
  Heard heard;
  draw_figures(options, {figure}, heard);
  EXPECT_TRUE(contains(heard.warnings, "saliency of row 3 for angry shows nothing: all zero"));
  EXPECT_EQ(read_json(folder / "saliency" / "row3.json").at("problem"), "all zero");
}

TEST(Explain, DrawsTheSameBytesTwiceAsPngAndJpg) {
  if (!report::can_draw() || !data::has_image_files()) GTEST_SKIP() << "needs pictures";
  const fs::path folder = fresh_folder("twice");
  MapFigure figure = saliency();
  figure.map.methods = {"lime"};
  figure.map.method.perturbation.lime_samples = 200;
  figure.measure = false;
  MapFigure jpg = figure;
  jpg.picture.file = "{class}.jpg";
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
    MapFigure figure = saliency();
    change(figure);
    ExplainRunOptions options = look("/nonexistent");
    options.data = "/nonexistent.csv";
    return error_line(ErrorCode::usage, [&] { draw_figures(options, {figure}, silent_listener()); });
  };
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.map.methods = {"salience"}; }), "did you mean 'saliency'?"));
  EXPECT_TRUE(
      contains(complaint([](MapFigure& f) { f.map.methods = {"guided-backprop"}; }), "guided-backprop for leaky4"));
  EXPECT_TRUE(
      contains(complaint([](MapFigure& f) { f.map.methods = {"grad-cam"}, f.map.method.layer = "conv9"; }), "conv9"));
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.panels = {"imgae"}; }), "did you mean 'image'?"));
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.picture.file = "map.gif"; }), ".png, .jpg, .svg or .pdf"));
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.picture.file = "../map.png"; }), "below"));
}

TEST(Explain, RefusesRowsAndTargetsThatDoNotExist) {
  const auto complaint = [](const auto& change) {
    MapFigure figure = saliency();
    change(figure);
    return error_line(ErrorCode::usage, [&] { draw_figures(look(fresh_folder("rows")), {figure}, silent_listener()); });
  };
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.faces = "rows:70"; }), "row 70 does not exist"));
  EXPECT_TRUE(contains(complaint([](MapFigure& f) { f.map.target = "hapy"; }), "did you mean 'happy'?"));
}

TEST(Explain, RefusesAPlaceholderThatTheKindDoesNotHave) {
  const network::Graph graph = network::load_graph("leaky4");
  const auto complaint = [&](Figure figure, const std::string& file) {
    std::visit([&](auto& of_kind) { of_kind.picture.file = file; }, figure);
    return error_line(ErrorCode::usage, [&] { check_figure(figure, graph); });
  };
  EXPECT_TRUE(contains(complaint(MapFigure(), "x_{klass}.png"), "{row}, {label}, {class} or {method}"));
  EXPECT_TRUE(contains(complaint(MapFigure(), "x_{clas}.png"), "did you mean {class}?"));
  EXPECT_TRUE(contains(complaint(MapFigure(), "x_{layer}.png"), "has {layer} where"));
  EXPECT_TRUE(contains(complaint(AscentFigure(), "x_{row}.png"), "has {row} where {layer} may stand"));
  EXPECT_TRUE(contains(complaint(MapFigure(), "x_{row.png"), "a lone {"));
}

TEST(Explain, AClipNearTheLargestValueHidesNothing) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("clip");
  MapFigure figure{.faces = "rows:3"};
  figure.map.methods = {"grad-cam-keras-vis"};  // from 0 to 1
  figure.map.clip = 99.9;
  figure.measure = false;
  draw_figures(look(folder), {figure}, silent_listener());
  const auto json = read_json(folder / "grad-cam-keras-vis" / "row3.json");
  EXPECT_EQ(json.at("shown"), json.at("maximum"));
}

TEST(Explain, AdvisesAnotherLayerWhereTheMapIsZero) {
  const WithoutPictures quick;
  network::LoadedWeights loaded = network::load_weights(small_leaky_run() / "weights" / "best.safetensors");
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor tensor : loaded.network.tensors()) tensor.zero_();
  }
  const fs::path folder = fresh_folder("advice");
  network::save_weights(folder / "dead.safetensors", loaded.network, loaded.info);
  ExplainRunOptions options = look(folder);
  options.weights = (folder / "dead.safetensors").string();
  MapFigure figure{.faces = "rows:3", .measure = false};
  figure.map.methods = {"grad-cam"};
  figure.map.method.layer = "conv2";
  Heard heard;
  draw_figures(options, {figure}, heard);
  EXPECT_TRUE(contains(heard.warnings, "all zero; --layer ")) << heard.warnings;
}

TEST(Figures, AreNamedOfferedAndMadeByTheirKind) {
  EXPECT_EQ(figure_kinds(),
            (std::vector<std::string>{"map", "contact", "weights", "outputs", "ascent", "faces", "units"}));
  for (const std::string& kind : figure_kinds()) {
    EXPECT_EQ(kind_of(make_figure(kind)), kind);
    check_figure(make_figure(kind), network::load_graph("leaky4"));  // the defaults are valid
  }
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { make_figure("mapp"); }), "did you mean 'map'?"));
}

TEST(Figures, HaveExactlyTheOptionsOfTheirKind) {
  const auto names = [](const std::string& kind) {
    Figure figure = make_figure(kind);
    OptionSet options;
    bind(figure, options);
    return options.names();
  };
  EXPECT_EQ(names("weights"),
            (std::vector<std::string>{"file", "title", "caption", "format", "layers", "units", "channel"}));
  EXPECT_EQ(names("outputs"),
            (std::vector<std::string>{
                "file", "title", "caption", "format", "faces", "layers", "units", "explain-seed", "explain-batch"}));
  for (const char* kind : {"map", "contact"}) {
    const std::vector<std::string> options = names(kind);
    EXPECT_EQ(std::count(options.begin(), options.end(), "lime-samples"), 1) << kind;
    EXPECT_EQ(std::count(options.begin(), options.end(), "units"), 0) << kind;
  }
}

TEST(Figures, RefuseAnOptionOfAnotherMethodOrSetting) {
  const auto complaint = [](Figure figure, const std::vector<std::pair<std::string, std::string>>& settings) {
    OptionSet options;
    bind(figure, options);
    for (const auto& [name, text] : settings) options.set(name, text, Origin::command_line, "--" + name + " " + text);
    std::string said;
    try {
      check_used(figure, options);
    } catch (const Error& error) {
      said = error.what();
    }
    return said;
  };
  EXPECT_EQ(complaint(MapFigure(), {{"lime-samples", "5"}}), "--lime-samples 5: lime-samples belongs to lime");
  EXPECT_EQ(complaint(MapFigure(), {{"method", "lime,saliency"}, {"lime-samples", "5"}}), "");
  EXPECT_EQ(complaint(MapFigure(), {{"method", "all"}, {"ig-steps", "5"}}), "");
  EXPECT_EQ(complaint(MapFigure(), {{"lime-samples", "1000"}}), "")
      << "the default does no harm: --print-config names it";
  EXPECT_TRUE(
      contains(complaint(MapFigure(), {{"layer", "conv1"}}), "belongs to guided-grad-cam, grad-cam, grad-cam++"));
  EXPECT_TRUE(
      contains(complaint(MapFigure(), {{"method", "lime"}, {"quickshift-ratio", "0.1"}}), "segments quickshift"));
  EXPECT_TRUE(contains(complaint(MapFigure(), {{"measure", "false"}, {"curve-steps", "5"}}), "measure, which is off"));
  EXPECT_TRUE(contains(complaint(ContactFigure(), {{"rise-cells", "3"}}), "belongs to rise"));
  EXPECT_TRUE(contains(complaint(FaceFigure(), {{"ascent-steps", "5"}}), "belongs to ascend"));
  EXPECT_EQ(complaint(FaceFigure(), {{"ascend", "true"}, {"ascent-steps", "5"}}), "");
  EXPECT_TRUE(contains(complaint(AscentFigure(), {{"faces", "rows:1"}}), "ascent-start faces"));
}

TEST(Figures, EveryMethodOptionBelongsToAMethodThatExists) {
  explain::MethodOptions method;
  OptionSet options;
  method.bind(options);
  const std::vector<std::string> of_all{"explain-seed", "explain-batch"};
  for (const std::string& name : options.names()) {
    if (std::find(of_all.begin(), of_all.end(), name) != of_all.end()) continue;
    MapOptions nothing{.methods = {"saliency"}};
    const std::string why = nothing.unused(name);  // "belongs to a, b"
    ASSERT_TRUE(why.starts_with("belongs to ")) << name << ": saliency uses none of them";
    for (const std::string& user : split(why.substr(11), ','))
      EXPECT_NO_THROW(explain::method(std::string(trim(user))));
  }
}

TEST(Inside, AscentLooksAtActivationsUnlessLayersAreNamed) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("activations");
  AscentFigure ascent{.layers = {.layers = {}, .units = "0-1"}};
  ascent.ascent.steps = 2;
  Heard heard;
  draw_figures(look(folder), {ascent}, heard);
  for (int i = 1; i <= 4; ++i) EXPECT_TRUE(fs::exists(folder / fmt::format("ascent_leaky_relu{}.npy", i))) << i;
  EXPECT_EQ(heard.warnings.find("is linear"), std::string::npos) << heard.warnings;
  ascent.layers.layers = {"conv1"};
  draw_figures(look(folder), {ascent}, heard);
  EXPECT_TRUE(contains(heard.warnings, "conv1 is linear in the image")) << heard.warnings;
  EXPECT_TRUE(contains(heard.warnings, "--layers leaky_relu1")) << heard.warnings;
}

TEST(ShortNumber, HasNoExponentWhereAReaderNeedsNone) {
  EXPECT_EQ(short_number(1220), "1220");
  EXPECT_EQ(short_number(-123456.7), "-123457");
  EXPECT_EQ(short_number(999.7), "1000");
  EXPECT_EQ(short_number(0.01234), "0.0123");
  EXPECT_EQ(short_number(1e-9), "1e-09");
}

TEST(Inside, WritesWeightsOutputsAndAscentAsNumbers) {
  const WithoutPictures quick;
  const fs::path folder = fresh_folder("inside");
  const WeightFigure weights;
  const OutputFigure outputs{.picture = {.file = "outputs_{layer}_row{row}.png"},
                             .faces = "rows:4",
                             .layers = {.layers = {"conv2"}, .units = "0-3"}};
  AscentFigure ascent{.layers = {.layers = {"conv1"}, .units = "0-4"}};
  ascent.ascent.steps = 5;
  draw_figures(look(folder), {weights, outputs, ascent}, silent_listener());

  const network::LoadedWeights loaded = network::load_weights(small_leaky_run() / "weights" / "best.safetensors");
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

}  // namespace
}  // namespace mien::figures
