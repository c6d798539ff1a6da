#include "mien/serve/server.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <arpa/inet.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/load.h"
#include "mien/data/readers/image_io.h"
#include "mien/evaluation/calibration.h"
#include "mien/evaluation/compare.h"
#include "mien/evaluation/predictions_csv.h"
#include "mien/network/network.h"
#include "mien/report/history_csv.h"
#include "mien/runs/face_sheets.h"
#include "mien/runs/run_summary.h"
#include "mien/runs/voters.h"
#include "mien/serve/openapi.h"

namespace mien::serve {
using namespace test_support;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kJson = "application/json";

constexpr double kTemperature = 2;

/// A run with the faces it was judged on, calibrated afterwards, made once.
const std::filesystem::path& served_run() {
  static const std::filesystem::path run = [] {
    const std::filesystem::path folder = fresh_folder("served") / "run";
    std::filesystem::copy(small_leaky_run(), folder, std::filesystem::copy_options::recursive);
    const auto file = folder / "weights/best.safetensors";
    network::LoadedWeights weights = network::load_weights(file);
    weights.info.extra[runs::kTemperatureKey] = format_double(kTemperature);
    network::save_weights(file, weights.network, weights.info);
    data::DataOptions options;
    options.data = "drawn:350";
    const data::Dataset dataset = data::load(options, silent_listener());
    std::vector<int64_t> faces;
    const runs::RunSummary judged = runs::read_run(folder);
    for (const int64_t row : judged.validation->rows) faces.push_back(dataset.index_of(row).value());
    runs::write_face_sheets(folder, "val", dataset, faces);
    return folder;
  }();
  return run;
}

/// A server on a free port, for one run on drawn faces.
class LiveServer : public testing::Test {
 protected:
  void SetUp() override {
    if (!data::has_image_files()) GTEST_SKIP() << "needs picture files";
    start({});
  }
  void start(ServeOptions options, const std::vector<std::string>& folders = {served_run().string()}) {
    stop();
    options.port = 0;
    studio_ = std::make_unique<Studio>(folders, 64);
    server_ = std::make_unique<Server>(*studio_, options);
    is_over_ = false;
    thread_ = std::thread([this] { server_->run([this] { return is_over_.load(); }); });
  }
  void stop() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
    server_.reset();
    studio_.reset();
  }
  void TearDown() override { stop(); }

  httplib::Client client() const { return httplib::Client("127.0.0.1", server_->port()); }
  int post(const std::string& path, const std::string& body, const char* type = kJson) const {
    const auto answer = client().Post(path, body, type);
    return answer ? answer->status : -1;
  }
  nlohmann::json asked(const std::string& path, const std::string& body) const {
    const auto answer = client().Post(path, body, kJson);
    EXPECT_TRUE(answer);
    if (!answer) return {};
    EXPECT_EQ(answer->status, 200) << answer->body;
    return nlohmann::json::parse(answer->body);
  }
  void expect_alive() const {
    const auto answer = client().Get("/health");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
  }

  std::unique_ptr<Studio> studio_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::atomic<bool> is_over_ = false;
};

TEST_F(LiveServer, PredictsAFaceAsTheRunDidAtTheTemperatureOfTheWeights) {
  const auto run = runs::read_run(served_run());
  ASSERT_TRUE(run.validation);
  const auto expected = evaluation::with_temperature(*run.validation, kTemperature);
  for (const int64_t index : {0, 3}) {
    const auto json = asked("/api/v1/predict", fmt::format(R"({{"model": 0, "part": "val", "index": {}}})", index));
    ASSERT_EQ(json.at("probabilities").size(), static_cast<size_t>(run.validation->classes()));
    for (int64_t k = 0; k < run.validation->classes(); ++k)
      EXPECT_NEAR(json.at("probabilities").at(static_cast<size_t>(k)).get<double>(),
                  expected.probability_row(index)[static_cast<size_t>(k)],
                  1e-4);
  }
}

TEST_F(LiveServer, ExplainsAFaceWithOptionsLayerAndFaithfulness) {
  const auto json = asked("/api/v1/explain",
                          R"({"model":0,"part":"val","index":1,"method":"lime","options":{"lime-samples":100},
                              "target":"sad","measure":true})");
  EXPECT_EQ(json.at("map").size(), 48U * 48U);
  EXPECT_EQ(json.at("target"), "sad");
  EXPECT_TRUE(json.at("faithfulness").contains("deletion-auc"));
  const auto cam =
      asked("/api/v1/explain", R"({"model":0,"part":"val","index":1,"method":"grad-cam","options":{"layer":"conv2"}})");
  EXPECT_EQ(cam.at("layer"), "conv2");
}

TEST_F(LiveServer, ListsRunsWithRatesAndComparesTwoOnTheSameFaces) {
  const auto other = fresh_folder("served other") / "twin";
  std::filesystem::copy(served_run(), other, std::filesystem::copy_options::recursive);
  // The twin calls the first two faces something else.
  const auto file = other / "predictions_public_test.csv";
  auto said = evaluation::read_predictions_csv(file);
  const int64_t classes = said.classes();
  for (const int64_t i : {0, 1}) {
    const int32_t wrong = (said.predicted(i) + 1) % static_cast<int32_t>(classes);
    for (int64_t k = 0; k < classes; ++k) {
      said.logits[static_cast<size_t>(i * classes + k)] = k == wrong ? 20 : 0;
      said.probabilities[static_cast<size_t>(i * classes + k)] = 0;
    }
    evaluation::softmax_rows({said.logits.data() + i * classes, static_cast<size_t>(classes)},
                             classes,
                             {said.probabilities.data() + i * classes, static_cast<size_t>(classes)});
  }
  write_atomic(file, evaluation::predictions_csv(said));
  start({}, {served_run().string(), other.string()});
  const auto runs = nlohmann::json::parse(client().Get("/api/v1/runs")->body);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[1].at("name"), "twin");
  EXPECT_EQ(runs[1].at("state"), "finished");
  EXPECT_EQ(runs[0].at("rates").at(0).at("count"), said.size());
  EXPECT_EQ(runs[0].at("history").size(), runs::read_run(served_run()).history.size());
  const auto found = nlohmann::json::parse(client().Get("/api/v1/runs/compare?first=0&second=1")->body);
  EXPECT_EQ(found.at("count"), said.size());
  EXPECT_EQ(found.at("differing").at("rows"), nlohmann::json({said.rows[0], said.rows[1]}));
  EXPECT_EQ(found.at("mcnemar_p_value").get<double>(),
            evaluation::mcnemar_p_value(found.at("only_first_correct"), found.at("only_second_correct")));
  for (const char* wrong : {"?first=0", "?first=0&second=2", "?first=0&second=-1", "?first=a&second=1"})
    EXPECT_EQ(client().Get(std::string("/api/v1/runs/compare") + wrong)->status, 404) << wrong;
}

TEST_F(LiveServer, FollowsARunInTrainingUntilItHasFinished) {
  const auto folder = fresh_folder("served training");
  const auto run = folder / "later";
  std::filesystem::copy(served_run(), run, std::filesystem::copy_options::recursive);
  const std::string finished = read_text(run / "run.json");
  auto unfinished = nlohmann::json::parse(finished);
  unfinished["status"] = "running";
  unfinished["facts"].erase("best_epoch");
  write_atomic(run / "run.json", unfinished.dump());
  const auto rows = report::read_history_csv(run / "results.csv");
  write_atomic(run / "results.csv", report::history_csv({}));
  start({}, {folder.string()});
  const auto listed = [this] { return nlohmann::json::parse(client().Get("/api/v1/runs")->body); };
  auto runs = listed();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].at("state"), "running");
  EXPECT_TRUE(runs[0].at("history").empty());
  EXPECT_EQ(client().Get("/api/v1/runs/compare?first=0&second=0")->status, 409);
  write_atomic(run / "results.csv", report::history_csv(rows));
  EXPECT_EQ(listed()[0].at("history").size(), rows.size());
  write_atomic(run / "run.json", finished);
  for (int wait = 0; wait < 50 && runs[0].at("state") != "finished"; ++wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    runs = listed();
  }
  ASSERT_EQ(runs.size(), 1U);
  ASSERT_EQ(runs[0].at("state"), "finished");
  EXPECT_EQ(asked("/api/v1/predict", R"({"model": 0, "part": "val", "index": 0})").at("classes").size(), 7U);
  EXPECT_EQ(client().Get("/api/v1/documents/0")->status, 200);
}

TEST_F(LiveServer, WritesDecisionsAboutLabelsAsCorrectionsThatTrainTakes) {
  const auto run = fresh_folder("served labels") / "run";
  std::filesystem::copy(served_run(), run, std::filesystem::copy_options::recursive);
  start({}, {run.string()});
  const auto desks = nlohmann::json::parse(client().Get("/api/v1/labels")->body);
  ASSERT_FALSE(desks.empty());
  EXPECT_EQ(desks[0].at("id"), "run-0-val");
  const std::string list = "/api/v1/labels/" + desks[0].at("id").get<std::string>();
  const auto desk = nlohmann::json::parse(client().Get(list)->body);
  const auto& suspects = desk.at("suspects");
  ASSERT_GE(suspects.size(), 3U);
  for (size_t i = 1; i < suspects.size(); ++i) EXPECT_GE(suspects[i - 1].at("doubt"), suspects[i].at("doubt"));
  const auto decide = [&](const nlohmann::json& row, const std::string& decision) {
    return client().Post(list, nlohmann::json{{"row", row}, {"decision", decision}}.dump(), kJson)->status;
  };
  const auto row = [&](size_t i) { return suspects[i].at("row"); };
  const auto name = [&](const char* what, size_t i) {
    return desk.at("classes").at(suspects[i].at(what).get<size_t>()).get<std::string>();
  };
  EXPECT_EQ(decide(row(0), name("suggested", 0)), 200);
  EXPECT_EQ(decide(row(1), "drop"), 200);
  EXPECT_EQ(decide(row(2), "keep"), 200);
  EXPECT_EQ(decide(row(0), "nobody"), 400);
  EXPECT_EQ(decide(-1, "keep"), 404);
  EXPECT_EQ(client().Get("/api/v1/labels/run-9-val")->status, 404);

  data::DataOptions options;
  options.data = "drawn:350";
  const data::Dataset before = data::load(options, silent_listener());
  options.corrections = desk.at("file").get<std::string>();
  const data::Dataset after = data::load(options, silent_listener());
  const auto label = [&](const data::Dataset& set, size_t i) {
    const auto index = set.index_of(row(i).get<int64_t>());
    return index ? set.class_names[static_cast<size_t>(set.labels[static_cast<size_t>(*index)])] : "";
  };
  EXPECT_EQ(label(after, 0), name("suggested", 0));
  EXPECT_EQ(label(before, 1), name("label", 1));
  EXPECT_EQ(label(after, 1), "") << "left out";
  EXPECT_EQ(label(after, 2), name("label", 2));
  EXPECT_EQ(after.size(), before.size() - 1);

  start({}, {run.string()});
  EXPECT_EQ(nlohmann::json::parse(client().Get(list)->body).at("decisions").size(), 3U) << "they are read again";
  EXPECT_EQ(decide(row(1), ""), 200);
  EXPECT_EQ(data::load(options, silent_listener()).size(), before.size());
}

TEST_F(LiveServer, FindsTheNeighborsOfAFace) {
  const auto found = nlohmann::json::parse(client().Get("/api/v1/models/0/neighbors?part=val&index=4")->body);
  ASSERT_EQ(found.size(), 12U);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NE(found[i].at("index"), 4) << "itself";
    EXPECT_LE(found[i].at("similarity").get<double>(), 1.00001);
    if (i > 0) {
      EXPECT_LE(found[i].at("similarity"), found[i - 1].at("similarity"));
    }
  }
  EXPECT_EQ(client().Get("/api/v1/models/0/neighbors?part=val&index=100000")->status, 404);
  EXPECT_EQ(client().Get("/api/v1/models/0/neighbors?part=../..&index=0")->status, 400);
  EXPECT_EQ(client().Get("/api/v1/models/7/neighbors?part=val&index=0")->status, 404);
}

/// Whether a value is as a schema of the document says; `where` stands in messages.
void expect_fits(const nlohmann::json& schemas,
                 const nlohmann::json& schema,
                 const nlohmann::json& value,
                 const std::string& where) {
  if (schema.contains("$ref"))
    return expect_fits(schemas, schemas.at(schema["$ref"].get<std::string>().substr(21)), value, where);
  if (schema.contains("anyOf")) {
    if (!value.is_null()) expect_fits(schemas, schema["anyOf"][0], value, where);
    return;
  }
  const auto is = [&](const std::string& type) {
    return (type == "string" && value.is_string()) || (type == "integer" && value.is_number_integer()) ||
           (type == "number" && value.is_number()) || (type == "boolean" && value.is_boolean()) ||
           (type == "null" && value.is_null()) || (type == "array" && value.is_array()) ||
           (type == "object" && value.is_object());
  };
  const auto& type = schema.at("type");
  EXPECT_TRUE(type.is_array() ? std::any_of(type.begin(), type.end(), is) : is(type.get<std::string>()))
      << where << " is " << value.dump().substr(0, 60);
  if (schema.contains("enum")) {
    EXPECT_NE(std::find(schema["enum"].begin(), schema["enum"].end(), value), schema["enum"].end()) << where << value;
    if (value.is_array() && schema.contains("minItems")) {
      EXPECT_EQ(value.size(), schema["minItems"].get<size_t>()) << where;
      if (value.is_array())
        for (const auto& one : value) expect_fits(schemas, schema.at("items"), one, where + "[]");
    }
  }
  if (!value.is_object()) return;
  if (!schema.contains("properties")) {
    for (const auto& one : value) expect_fits(schemas, schema.at("additionalProperties"), one, where + ".*");
    return;
  }
  for (const auto& name : schema.at("required"))
    EXPECT_TRUE(value.contains(name.get<std::string>())) << where << " lacks " << name;
  for (const auto& [name, one] : value.items()) {
    if (!schema["properties"].contains(name)) {
      ADD_FAILURE() << where << " has " << name;
    } else {
      expect_fits(schemas, schema["properties"][name], one, where + "." + name);
    }
  }
}
void expect_fits(const nlohmann::json& schemas, const std::string& name, const nlohmann::json& value) {
  expect_fits(schemas, schemas.at(name), value, name);
}

/// What a unit's arithmetic adds up to.
double total(const nlohmann::json& arithmetic) {
  double sum = arithmetic.at("bias").get<double>() + arithmetic.at("others").get<double>();
  for (const auto& term : arithmetic.at("terms")) {
    double products = 0;
    for (size_t i = 0; i < term.at("inputs").size(); ++i)
      products += term.at("inputs")[i].get<double>() * term.at("weights")[i].get<double>();
    EXPECT_NEAR(products, term.at("sum").get<double>(), 1e-4);
    sum += term.at("sum").get<double>();
  }
  return sum;
}

TEST_F(LiveServer, SaysHowEveryValueOfALayerComesAbout) {
  const auto layers = nlohmann::json::parse(client().Get("/api/v1/models/0/layers")->body);
  std::set<std::string> kinds;
  for (const auto& layer : layers) {
    const int64_t units = layer.at("units");
    const nlohmann::json question{{"model", 0},
                                  {"part", "val"},
                                  {"index", 2},
                                  {"layer", layer.at("name")},
                                  {"unit", units - 1},
                                  {"y", layer.at("height").get<int64_t>() - 1},
                                  {"x", layer.at("width").get<int64_t>() / 2}};
    const auto unit = asked("/api/v1/unit", question.dump());
    EXPECT_EQ(unit.at("output").size(), layer.at("height").get<size_t>() * layer.at("width").get<size_t>());
    const auto& how = unit.at("arithmetic");
    const double value = unit.at("value");
    kinds.insert(layer.at("kind").get<std::string>());
    if (layer.at("kind") == "conv" || layer.at("kind") == "dense") {
      EXPECT_NEAR(total(how), value, 1e-4 * (1 + std::abs(value))) << layer.at("name");
    } else if (layer.at("kind") == "batch_norm") {
      const double x = how.at("inputs")[0];
      EXPECT_NEAR((x - how.at("running_mean").get<double>()) /
                          std::sqrt(how.at("running_var").get<double>() + how.at("epsilon").get<double>()) *
                          how.at("weight").get<double>() +
                      how.at("bias").get<double>(),
                  value,
                  1e-4 * (1 + std::abs(value)));
    } else if (layer.at("kind") == "max_pool") {
      double largest = -1e30;
      for (const auto& one : how.at("inputs")) largest = std::max(largest, one.get<double>());
      EXPECT_NEAR(largest, value, 1e-5 * (1 + std::abs(value)));
    } else if (layer.at("kind") == "leaky_relu") {
      const double x = how.at("inputs")[0];
      EXPECT_NEAR(x > 0 ? x : x * how.at("slope").get<double>(), value, 1e-5 * (1 + std::abs(x)));
    }
  }
  for (const char* kind : {"conv", "dense", "batch_norm", "max_pool", "leaky_relu"})
    EXPECT_TRUE(kinds.contains(kind)) << kind;
  for (const char* wrong : {R"({"model":0,"part":"val","index":0,"layer":"conv9","unit":0})",
                            R"({"model":0,"part":"val","index":0,"layer":7,"unit":0})",
                            R"({"model":0,"part":"val","index":0,"layer":"conv1","unit":-1})",
                            R"({"model":0,"part":"val","index":0,"layer":"conv1","unit":99999})",
                            R"({"model":0,"part":"val","index":0,"layer":"conv1","unit":0,"y":48})",
                            R"({"model":0,"part":"val","index":0,"layer":"conv1"})"}) {
    const int status = post("/api/v1/unit", wrong);
    EXPECT_TRUE(status == 400 || status == 404) << wrong << status;
  }
}

TEST_F(LiveServer, FindsTheFacesAndTheInputThatDriveAUnit) {
  const auto answer_of = [this](const std::string& path, const std::string& body) {
    const auto asked = client().Post(path, body, kJson);
    EXPECT_EQ(asked->status, 202) << asked->body;
    const std::string id = nlohmann::json::parse(asked->body).at("job");
    const auto events = client().Get("/api/v1/jobs/" + id + "/events");
    EXPECT_NE(events->body.find("\"state\":\"done\""), std::string::npos) << events->body.substr(0, 300);
    return nlohmann::json::parse(client().Get("/api/v1/jobs/" + id)->body).at("answer");
  };
  const auto survey = answer_of("/api/v1/survey", R"({"model":0,"layer":"conv2","part":"val"})");
  const auto& unit = survey.at("units").at(1);
  ASSERT_FALSE(unit.at("most").empty());
  EXPECT_GE(unit.at("most")[0].at("activation"), unit.at("least")[0].at("activation"));
  const auto layer = asked("/api/v1/unit",
                           fmt::format(R"({{"model":0,"part":"val","index":{},"layer":"conv2","unit":1}})",
                                       unit.at("most")[0].at("index").get<int64_t>()));
  const auto values = layer.at("output").get<std::vector<double>>();
  EXPECT_NEAR(*std::max_element(values.begin(), values.end()), unit.at("most")[0].at("activation").get<double>(), 1e-4);
  const auto ascent = answer_of("/api/v1/ascent", R"({"model":0,"layer":"conv2","unit":1,"steps":20})");
  EXPECT_GT(ascent.at("last"), ascent.at("first"));
}

TEST_F(LiveServer, EndsARunningExplanationAtItsNextStepAndTellsHowFarItIs) {
  const auto begin = std::chrono::steady_clock::now();
  const auto asked =
      client().Post("/api/v1/jobs",
                    R"({"model":0,"part":"val","index":0,"method":"rise","options":{"rise-samples":1000000}})",
                    kJson);
  ASSERT_EQ(asked->status, 202) << asked->body;
  const std::string path = "/api/v1/jobs/" + nlohmann::json::parse(asked->body).at("job").get<std::string>();
  nlohmann::json said;
  for (int wait = 0; wait < 200 && !said.contains("progress"); ++wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    said = nlohmann::json::parse(client().Get(path)->body);
  }
  ASSERT_TRUE(said.contains("progress")) << said;
  EXPECT_GT(said.at("progress").at("total"), said.at("progress").at("done"));
  EXPECT_EQ(nlohmann::json::parse(client().Delete(path)->body).at("state"), "cancelled");
  EXPECT_EQ(post("/api/v1/predict", R"({"model":0,"part":"val","index":0})"), 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60)) << "the next question waits for it";
}

TEST_F(LiveServer, CropsAPictureWhereItIsTold) {
  // White left of the middle, black right of it.
  std::vector<uint8_t> rgb;
  for (int row = 0; row < 60; ++row)
    for (int column = 0; column < 120; ++column) rgb.insert(rgb.end(), 3, column < 60 ? 255 : 0);
  const std::string png = data::encode_webp(rgb, 60, 120, 3, 100);
  const auto crop = [&](const std::string& where) {
    const auto answer = client().Post("/api/v1/photo?model=0" + where, png, "application/octet-stream");
    EXPECT_EQ(answer->status, 200) << answer->body;
    return nlohmann::json::parse(answer->body);
  };
  EXPECT_EQ(crop("").at("crop"), nlohmann::json({{"x", 30.0}, {"y", 0.0}, {"side", 60.0}})) << "no face: the middle";
  const std::string left = crop("&x=5&y=5&side=40").at("pixels");
  const std::string right = crop("&x=70&y=5&side=40").at("pixels");
  EXPECT_EQ(left.substr(0, 8), "////////") << "255 everywhere";
  EXPECT_EQ(right.substr(0, 8), "AAAAAAAA") << "0 everywhere";
  for (const char* wrong : {"&x=5&y=5&side=",
                            "&x=5&y=5&side=nan",
                            "&x=1e9&y=0&side=10",
                            "&x=5&y=5&side=0",
                            "&side=10",
                            "&x=5000&y=5&side=10",
                            "&x=0&y=0&side=100000"})
    EXPECT_EQ(post(std::string("/api/v1/photo?model=0") + wrong, png, "application/octet-stream"), 400) << wrong;
}

TEST_F(LiveServer, AnswersEveryAddressThatOpenApiNames) {
  const auto json = nlohmann::json::parse(openapi_json());
  for (const auto& [path, operations] : json.at("paths").items()) {
    std::string address = path;
    for (const auto& [hole, value] : std::map<std::string, std::string>{
             {"{document}", "0"}, {"{name}", "p0"}, {"{model}", "0"}, {"{job}", "1"}, {"{list}", "run-0-val"}}) {
      if (const size_t at = address.find(hole); at != std::string::npos) address.replace(at, hole.size(), value);
    }
    if (operations.contains("get") && address.find("jobs") == std::string::npos) {
      if (address.ends_with("neighbors")) address += "?part=val&index=0";
      if (address.ends_with("compare")) address += "?first=0&second=0";
      EXPECT_EQ(client().Get(address)->status, 200) << address;
    }
    if (operations.contains("post")) {
      EXPECT_NE(post(address, "{}"), 404) << address;
    }
  }
  const std::string metrics = client().Get("/metrics")->body;
  EXPECT_NE(metrics.find("mien_predict_seconds_bucket{le=\"+Inf\"}"), std::string::npos);
}

TEST_F(LiveServer, AnswersAsItsOpenApiDocumentSays) {
  const auto schemas = nlohmann::json::parse(openapi_json()).at("components").at("schemas");
  const auto got = [this](const std::string& path) { return nlohmann::json::parse(client().Get(path)->body); };
  const std::string face = R"({"model":0,"part":"val","index":1)";
  expect_fits(schemas, "Served", got("/api/v1/documents").at(0));
  expect_fits(schemas, "Model", got("/api/v1/models").at(0));
  expect_fits(schemas, "Method", got("/api/v1/methods").at(0));
  expect_fits(schemas, "ServedRun", got("/api/v1/runs").at(0));
  expect_fits(schemas, "Difference", got("/api/v1/runs/compare?first=0&second=0"));
  expect_fits(schemas, "DeskEntry", got("/api/v1/labels").at(0));
  expect_fits(schemas, "Desk", got("/api/v1/labels/run-0-val"));
  expect_fits(schemas, "Neighbor", got("/api/v1/models/0/neighbors?part=val&index=1").at(0));
  expect_fits(schemas, "Health", got("/health"));
  expect_fits(schemas, "Prediction", asked("/api/v1/predict", face + "}"));
  expect_fits(schemas, "Explanation", asked("/api/v1/explain", face + R"(,"method":"lime","measure":true})"));
  expect_fits(schemas, "LayerOutput", asked("/api/v1/layer", face + R"(,"layer":"conv1"})"));
  for (const auto& layer : got("/api/v1/models/0/layers")) {
    expect_fits(schemas, "NetworkLayer", layer);
    expect_fits(
        schemas,
        "Unit",
        asked("/api/v1/unit", face + fmt::format(R"(,"layer":"{}","unit":0}})", layer["name"].get<std::string>())));
  }
}

TEST_F(LiveServer, RefusesWhatIsNoQuestionAndSaysWhy) {
  const struct {
    const char* body;
    int status;
  } cases[] = {{"{", 400},
               {"[]", 400},
               {"null", 400},
               {R"({"model":"0","part":"val","index":0})", 400},
               {R"({"model":0.5,"part":"val","index":0})", 400},
               {R"({"model":-1,"part":"val","index":0})", 404},
               {R"({"model":99999999999,"part":"val","index":0})", 404},
               {R"({"model":0,"part":"../../etc","index":0})", 400},
               {R"({"model":0,"part":7,"index":0})", 400},
               {R"({"model":0,"part":"val","index":-1})", 404},
               {R"({"model":0,"part":"val","index":1000000})", 404},
               {R"({"model":0,"pixels":"AAAA"})", 400},
               {R"({"model":0,"pixels":"!"})", 400},
               {R"({"model":0,"part":"val","index":0,"modle":1})", 400},
               {R"({"model":0,"part":"val","index":0,"method":"grad_cam"})", 400},
               {R"({"model":0,"part":"val","index":0,"method":"lime","options":{"lime-samples":"many"}})", 400},
               {R"({"model":0,"part":"val","index":0,"method":"lime","options":{"nonsense":1}})", 400},
               {R"({"model":0,"part":"val","index":0,"method":"lime","options":{"lime-samples":{}}})", 400},
               {R"({"model":0,"part":"val","index":0,"target":"nobody"})", 400},
               {R"({"model":0,"part":"val","index":0,"measure":"yes"})", 400}};
  for (const auto& one : cases) {
    const auto answer = client().Post("/api/v1/explain", one.body, kJson);
    ASSERT_TRUE(answer) << one.body;
    EXPECT_EQ(answer->status, one.status) << one.body << answer->body;
    EXPECT_FALSE(nlohmann::json::parse(answer->body).at("error").get<std::string>().empty());
  }
  EXPECT_EQ(post("/api/v1/explain", std::string(200'000, '[')), 400) << "deeply nested";
  EXPECT_EQ(post("/api/v1/predict", "{}", "text/plain"), 415) << "a form of another site needs no leave to send this";
  expect_alive();
}

TEST_F(LiveServer, ReadsNoFileButThoseOfItsFolders) {
  for (const char* path : {"/../../etc/passwd",
                           "/..%2f..%2fetc%2fpasswd",
                           "/api/v1/documents/0/pictures/..%2f..%2frun.json",
                           "/api/v1/documents/0/pictures/run.json",
                           "/api/v1/documents/1",
                           "/api/v1/documents/99999999999999999999",
                           "/run.json",
                           "/web/dist/app.js"}) {
    const auto answer = client().Get(path);
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->status, 404) << path;
  }
  const auto document = nlohmann::json::parse(client().Get("/api/v1/documents/0")->body);
  ASSERT_FALSE(document.at("pictures").empty());
  for (const auto& [name, url] : document.at("pictures").items())
    EXPECT_EQ(client().Get(url.get<std::string>())->status, 200) << name;
}

TEST_F(LiveServer, RefusesOtherHostsAndOtherSites) {
  const auto with = [this](const httplib::Headers& headers) { return client().Get("/api/v1/models", headers)->status; };
  EXPECT_EQ(with({{"Host", "evil.example"}}), 403);
  EXPECT_EQ(with({{"Host", "evil.example:80"}}), 403);
  EXPECT_EQ(with({{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(with({{"Origin", "null"}}), 403);
  EXPECT_EQ(with({{"Host", "localhost"}}), 200);
  EXPECT_EQ(with({{"Origin", fmt::format("http://127.0.0.1:{}", server_->port())}}), 200);
  const auto answer = client().Get("/");
  EXPECT_NE(answer->get_header_value("Content-Security-Policy").find("script-src 'self'"), std::string::npos);
  EXPECT_EQ(answer->body.find("<script>"), std::string::npos) << "no inline script";
}

TEST_F(LiveServer, AsksForTheTokenWhereThereIsOne) {
  ServeOptions options;
  options.token = "secret";
  start(options);
  EXPECT_EQ(client().Get("/api/v1/models")->status, 401);
  EXPECT_EQ(client().Get("/health")->status, 401);
  EXPECT_EQ(client().Get("/?token=wrong")->status, 401);
  EXPECT_EQ(client().Get("/api/v1/models", {{"Authorization", "Bearer secre"}})->status, 401);
  EXPECT_EQ(client().Get("/api/v1/models", {{"Authorization", "Bearer secret"}})->status, 200);
  const auto entered = client().Get("/?token=secret");
  EXPECT_EQ(entered->status, 302);
  EXPECT_NE(entered->get_header_value("Set-Cookie").find("HttpOnly"), std::string::npos);
  EXPECT_EQ(client().Get("/api/v1/models", {{"Cookie", "a=b; mien_token=secret"}})->status, 200);
}

TEST_F(LiveServer, MakesUpATokenBeyondThisMachine) {
  ServeOptions options;
  options.host = "0.0.0.0";
  start(options);
  EXPECT_EQ(server_->token().size(), 32U);
  EXPECT_EQ(client().Get("/api/v1/models")->status, 401);
}

TEST_F(LiveServer, SurvivesLargeBodiesPictureBombsAndSlowClients) {
  ServeOptions options;
  options.body_megabytes = 1;
  options.connections = 4;
  start(options);
  EXPECT_EQ(post("/api/v1/predict", std::string(3 << 20, ' ')), 413);
  const int refused = post("/api/v1/predict", std::string(100 << 20, ' '));
  EXPECT_TRUE(refused == 413 || refused == -1) << "refused, or cut off while it still sends: " << refused;
  expect_alive();
  EXPECT_EQ(post("/api/v1/photo?model=0", "no picture", "application/octet-stream"), 400);
  // A png that says it has 30,000 x 30,000 pixels.
  std::string bomb("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\0\0\0\0", 29);
  EXPECT_EQ(post("/api/v1/photo?model=0", bomb + std::string(100, '\0'), "application/octet-stream"), 400);
  // Clients that connect and say nothing, as many as are answered at once.
  std::vector<int> silent;
  for (int i = 0; i < 4; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server_->port()));
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    ASSERT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    silent.push_back(socket);
  }
  httplib::Client patient("127.0.0.1", server_->port());
  patient.set_read_timeout(20);
  const auto answer = patient.Get("/health");
  ASSERT_TRUE(answer) << "slow clients keep others out for good";
  EXPECT_EQ(answer->status, 200);
  for (const int socket : silent) ::close(socket);
}

TEST_F(LiveServer, GoesOnServingWhileAThousandConnectionsSayNothing) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);  // both ends are in this process
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  std::vector<int> silent;
  for (int i = 0; i < 1000; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (socket < 0) break;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server_->port()));
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address);
    silent.push_back(socket);
  }
  ASSERT_GT(silent.size(), 400U);
  httplib::Client patient("127.0.0.1", server_->port());
  patient.set_connection_timeout(60);
  patient.set_read_timeout(60);
  const auto answer = patient.Post("/api/v1/predict", R"({"model":0,"part":"val","index":0})", kJson);
  ASSERT_TRUE(answer) << "silent connections keep others out for good";
  EXPECT_EQ(answer->status, 200);
  for (const int socket : silent) ::close(socket);
}

TEST_F(LiveServer, AnswersManyAtOnceAsOneAtATime) {
  const std::string body = R"({"model":0,"part":"val","index":2})";
  const auto alone = asked("/api/v1/predict", body);
  std::vector<std::thread> clients;
  std::atomic<int> same = 0;
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([&] {
      const auto answer = client().Post("/api/v1/predict", body, kJson);
      if (answer && answer->status == 200 &&
          nlohmann::json::parse(answer->body).at("predicted") == alone.at("predicted"))
        ++same;
    });
  }
  for (std::thread& one : clients) one.join();
  EXPECT_EQ(same, 16);
}

TEST_F(LiveServer, TellsOfAJobUntilItIsDone) {
  const auto asked = client().Post("/api/v1/jobs", R"({"model":0,"part":"val","index":0,"method":"saliency"})", kJson);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->status, 202);
  const std::string id = nlohmann::json::parse(asked->body).at("job");
  const auto events = client().Get("/api/v1/jobs/" + id + "/events");
  ASSERT_TRUE(events);
  EXPECT_NE(events->body.find("\"state\":\"done\""), std::string::npos) << events->body.substr(0, 300);
  EXPECT_NE(events->body.find("\"map\":["), std::string::npos);
  EXPECT_EQ(client().Get("/api/v1/jobs/999")->status, 404);
  EXPECT_EQ(nlohmann::json::parse(client().Delete("/api/v1/jobs/" + id)->body).at("state"), "done")
      << "what is done stays done";
}

TEST(ModelQueue, RefusesWhatItCannotHoldAndNeverStartsWhatWasCancelled) {
  Job job(Question{});
  job.cancel();
  EXPECT_FALSE(job.start());
  job.finish("late");
  EXPECT_EQ(job.state(), Job::State::cancelled);
}

TEST(OpenApi, HasEveryOptionOfExplanationsWithItsRange) {
  const auto json = nlohmann::json::parse(openapi_json());
  const auto& options = json.at("components").at("schemas").at("MethodOptions").at("properties");
  EXPECT_EQ(options.at("lime-samples").at("type"), "integer");
  EXPECT_TRUE(options.at("lime-samples").contains("minimum"));
  EXPECT_TRUE(options.at("segments").contains("enum"));
  EXPECT_TRUE(json.at("paths").contains("/api/v1/explain"));
}

TEST(OpenApi, IsTheFileThatTheTypesOfThePageAreMadeFrom) {
  const std::filesystem::path file = std::filesystem::path(MIEN_SOURCE_FOLDER) / "web" / "openapi.json";
  const std::string hint =
      "MIEN_WRITE=1 build/bin/serve_tests --gtest_filter=OpenApi.* writes it; then script/web build";
  auto json = nlohmann::ordered_json::parse(openapi_json());
  json["info"]["version"] = "1";  // the API's, whatever Mien's is
  const std::string text = json.dump(2) + "\n";
  if (std::getenv("MIEN_WRITE") != nullptr) write_atomic(file, text);
  EXPECT_EQ(read_text(file), text) << hint;
}

TEST(Studio, RefusesAFolderThatIsNoRun) {
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [] { Studio({"/nowhere"}, 4); }), "no run folder"));
}

}  // namespace
}  // namespace mien::serve
