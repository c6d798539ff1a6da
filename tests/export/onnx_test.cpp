#include "mien/export/onnx.h"

#include <cstdlib>
#include <map>
#include <set>

#include <nlohmann/json.hpp>
#include <onnx/onnx_pb.h>
#ifdef MIEN_WITH_DNN
#include <opencv2/dnn.hpp>
#endif

#include "core/temporary_folder.h"
#include "export/export_testing.h"

#include "mien/export/calibrate.h"

namespace mien::exporting {
namespace {

using network::Normalization;

constexpr double kTolerance = 1e-5;
constexpr int64_t kFaces = 3;

onnx::ModelProto parsed(const std::string& bytes) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes));
  return model;
}

std::map<std::string, std::string> metadata_of(const onnx::ModelProto& model) {
  std::map<std::string, std::string> found;
  for (const auto& entry : model.metadata_props()) found[entry.key()] = entry.value();
  return found;
}

std::map<std::string, int> operators_of(const onnx::ModelProto& model) {
  std::map<std::string, int> counts;
  for (const auto& node : model.graph().node()) ++counts[node.op_type()];
  return counts;
}

/// Largest difference, in logits or as a share of the largest where they are beyond 1.
double difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max().clamp_min(1)).item<double>();
}

std::vector<std::pair<std::string, network::LoadedWeights>> all_cases() {
  std::vector<std::pair<std::string, network::LoadedWeights>> cases;
  const std::vector<Normalization> normalizations{
      {},
      {.kind = Normalization::Kind::per_image},
      {.kind = Normalization::Kind::dataset, .mean = 0.5, .deviation = 0.25}};
  size_t i = 0;
  for (const auto& one : network::builtin_networks()) {
    cases.emplace_back(one.name, drawn_weights(network::load_graph(one.name), normalizations[i++ % 3]));
  }
  for (const LayerCase& one : layer_cases()) {
    cases.emplace_back(one.name, drawn_weights(graph_of(one), normalizations[i++ % 3]));
  }
  return cases;
}

/// Of int8: the ranges of every layer on drawn levels.
std::map<std::string, std::pair<float, float>> ranges_of(const network::LoadedWeights& weights) {
  const network::Shape shape = weights.network.graph().input_shape();
  data::Dataset faces{.channels = shape.channels, .height = shape.height, .width = shape.width};
  faces.pixels = drawn_levels(weights.network.graph(), 8);
  faces.labels.assign(8, 0);
  const std::vector<int64_t> rows{0, 1, 2, 3, 4, 5, 6, 7};
  return output_ranges(weights, faces, rows, silent_listener());
}

TEST(Onnx, NamesItsInputOutputAndDynamicBatch) {
  const auto model = parsed(onnx_model(freeze(drawn_weights(network::load_graph("leaky4"))), {}));
  ASSERT_EQ(model.graph().input_size(), 1);
  const auto& input = model.graph().input(0);
  EXPECT_EQ(input.name(), "faces");
  EXPECT_EQ(input.type().tensor_type().elem_type(), onnx::TensorProto::UINT8);
  EXPECT_EQ(input.type().tensor_type().shape().dim(0).dim_param(), "N");
  EXPECT_EQ(input.type().tensor_type().shape().dim(2).dim_value(), 48);
  ASSERT_EQ(model.graph().output_size(), 1);
  EXPECT_EQ(model.graph().output(0).name(), "probabilities");
  EXPECT_EQ(model.opset_import(0).version(), kNewestOpset);
}

TEST(Onnx, CarriesClassesNormalizationAndProvenance) {
  network::LoadedWeights weights = drawn_weights(network::load_graph("box3"));
  weights.info.class_names = {"a", "b", "c", "d", "e", "f", "\"g\""};
  weights.info.extra["mien.training_rows"] = std::string(2000, '1');
  auto found = metadata_of(parsed(onnx_model(freeze(weights), {.temperature = 1.5})));
  EXPECT_EQ(nlohmann::json::parse(found["mien.classes"]).get<std::vector<std::string>>(), weights.info.class_names);
  EXPECT_EQ(found["mien.normalization"], "scale");
  EXPECT_EQ(found["mien.weights"], "0123");
  EXPECT_EQ(found["mien.seed"], "3");
  EXPECT_EQ(found["mien.temperature"], "1.5");
  EXPECT_EQ(found["mien.input"], "uint8 [N,1,48,48], levels from 0 (black) to 255 (white), gray");
  EXPECT_FALSE(found.contains("mien.training_rows")) << "lists of rows are no business of a product";
}

TEST(Onnx, GivesProbabilitiesAtTheTemperatureOfTheWeightsUnlessToldAnother) {
  network::LoadedWeights weights = drawn_weights(network::load_graph("conv3"));
  weights.info.extra["mien.temperature"] = "1.25";
  const FrozenNetwork network = freeze(weights);
  const auto divisor_of = [](const onnx::ModelProto& model) {
    for (const auto& node : model.graph().node()) {
      if (node.op_type() == "Div" && node.output(0) == "tempered") return node.input(1);
    }
    return std::string();
  };
  EXPECT_EQ(metadata_of(parsed(onnx_model(network, {})))["mien.temperature"], "1.25");
  EXPECT_NE(divisor_of(parsed(onnx_model(network, {}))), "");
  EXPECT_EQ(metadata_of(parsed(onnx_model(network, {.temperature = 2})))["mien.temperature"], "2");
  EXPECT_EQ(divisor_of(parsed(onnx_model(network, {.temperature = 1}))), "");
}

TEST(Onnx, SaysHowFacesAreCropped) {
  network::LoadedWeights weights = drawn_weights(network::load_graph("conv3"));
  EXPECT_EQ(metadata_of(parsed(onnx_model(freeze(weights), {})))["mien.crop"],
            "haarcascade_frontalface_default scale 1 down 0");
  weights.info.extra["mien.crop"] = "mine scale 1.2 down 0.1";
  EXPECT_EQ(metadata_of(parsed(onnx_model(freeze(weights), {})))["mien.crop"], "mine scale 1.2 down 0.1");
}

TEST(Onnx, WritesTheSameBytesTwice) {
  const FrozenNetwork network = freeze(drawn_weights(network::load_graph("tiny-mobile")));
  EXPECT_EQ(onnx_model(network, {}), onnx_model(network, {}));
}

TEST(Onnx, FoldsBatchNormsOfHalfPrecisionIntoTheWeights) {
  const FrozenNetwork network = freeze(drawn_weights(network::load_graph("resnet18-48")));
  const auto single = parsed(onnx_model(network, {}));
  const auto half = parsed(onnx_model(network, {.precision = Precision::float16}));
  EXPECT_GT(operators_of(single)["BatchNormalization"], 0);
  EXPECT_EQ(operators_of(half)["BatchNormalization"], 0);
  EXPECT_LT(half.ByteSizeLong() * 2, single.ByteSizeLong() + 100'000);
}

TEST(Onnx, RefusesWeightsBeyondHalfPrecision) {
  FrozenNetwork network = freeze(drawn_weights(network::load_graph("box3")));
  network.values.begin()->second[0] = 1e5F;
  const std::string line = network::error_of([&] { onnx_model(network, {.precision = Precision::float16}); });
  EXPECT_NE(line.find("as float16: it holds 100000, and 65504 is the largest"), std::string::npos) << line;
}

TEST(Onnx, PassesTheCheckerForEveryNetworkAndLayer) {
  for (const auto& [name, weights] : all_cases()) {
    const FrozenNetwork network = freeze(weights);
    for (const Precision precision : {Precision::float32, Precision::float16}) {
      EXPECT_EQ(network::error_of([&] { onnx_model(network, {.precision = precision}); }), "") << name;
    }
    const OnnxOptions int8{.precision = Precision::int8, .ranges = ranges_of(weights)};
    EXPECT_EQ(network::error_of([&] { onnx_model(network, int8); }), "") << name;
  }
}

#ifdef MIEN_WITH_DNN
at::Tensor opencv_output(const std::string& model, const std::vector<uint8_t>& levels, const network::Shape& shape) {
  cv::dnn::Net net = cv::dnn::readNetFromONNX(model.data(), model.size());
  const int sizes[] = {static_cast<int>(kFaces),
                       static_cast<int>(shape.channels),
                       static_cast<int>(shape.height),
                       static_cast<int>(shape.width)};
  std::vector<float> values(levels.begin(), levels.end());
  net.setInput(cv::Mat(4, sizes, CV_32F, values.data()));
  const cv::Mat found = net.forward().clone();
  return at::from_blob(const_cast<float*>(found.ptr<float>()), {kFaces, found.size[1]}, at::kFloat).clone();
}

TEST(Onnx, GivesMiensNumbersInOpenCv) {
  // OpenCV 4.6 neither multiplies by one number a channel nor divides by one a pixel; newer ones do.
  const std::set<std::string> may_be_refused{"tiny-mobile", "branches", "layer-norm", "flat"};
  for (auto& [name, weights] : all_cases()) {
    // Nor does it know the larger of two numbers, which the deviation of a picture needs.
    if (weights.info.normalization.kind == Normalization::Kind::per_image) weights.info.normalization = {};
    const std::string model = onnx_model(freeze(weights), {.float_input = true, .logits = true});
    const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), kFaces);
    try {
      const at::Tensor found = opencv_output(model, levels, weights.network.graph().input_shape());
      EXPECT_LE(difference(found, logits_of(weights, levels)), kTolerance) << name;
    } catch (const cv::Exception& error) {
      EXPECT_TRUE(may_be_refused.contains(name)) << name << ": " << error.what();
    }
  }
}
#endif

/// The folder of npm's packages in which onnxruntime-node lies; empty if there is none.
std::string onnxruntime_folder() {
  const char* const chosen = std::getenv("MIEN_NODE_MODULES");
  const std::string folder = chosen != nullptr ? chosen : "node/node_modules";
  return run_program("NODE_PATH=" + folder + " node -e 'require(\"onnxruntime-node\")'").status == 0 ? folder : "";
}

TEST(Onnx, GivesMiensNumbersInOnnxruntime) {
  const std::string packages = onnxruntime_folder();
  if (packages.empty()) {
    GTEST_SKIP() << "no onnxruntime-node: npm install --ignore-scripts --prefix node onnxruntime-node@1.20.1";
  }
  const TemporaryFolder folder;
  const auto cases = all_cases();
  for (const auto& [name, weights] : cases) {
    const std::vector<uint8_t> levels = drawn_levels(weights.network.graph(), kFaces);
    const FrozenNetwork network = freeze(weights);
    const network::Shape shape = weights.network.graph().input_shape();
    write_numbers<uint8_t>(folder / (name + ".levels"), levels);
    write_atomic(folder / (name + ".shape"), fmt::format("[{}, {}, {}]", shape.channels, shape.height, shape.width));
    write_atomic(folder / (name + ".onnx"), onnx_model(network, {.logits = true}));
    write_atomic(folder / (name + ".half.onnx"),
                 onnx_model(network, {.logits = true, .precision = Precision::float16}));
    write_atomic(folder / (name + ".int8.onnx"),
                 onnx_model(network, {.logits = true, .precision = Precision::int8, .ranges = ranges_of(weights)}));
    write_atomic(folder / (name + ".probability.onnx"), onnx_model(network, {.temperature = 2}));
  }
  const Ran ran = run_program("NODE_PATH=" + packages + " node " MIEN_SOURCE_DIR "/tests/export/run_onnx.cjs " +
                              folder.path().string());
  ASSERT_EQ(ran.status, 0) << ran.out;
  for (const auto& [name, weights] : cases) {
    const at::Tensor expected = logits_of(weights, drawn_levels(weights.network.graph(), kFaces));
    const auto found = [&](const std::string& kind) {
      return read_floats(folder / (name + kind + ".found"), expected.sizes());
    };
    EXPECT_LE(difference(found(""), expected), kTolerance) << name;
    EXPECT_LE(difference(found(".half"), expected), 0.02) << name;
    EXPECT_LE(difference(found(".int8"), expected), 0.2) << name;
    EXPECT_LE(difference(found(".probability"), (expected / 2).softmax(1)), kTolerance) << name;
  }
}

}  // namespace
}  // namespace mien::exporting
