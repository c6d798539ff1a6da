#include "mien/serve/server.h"

#include <atomic>
#include <thread>

#include "core/expect_error.h"
#include "support/small_experiment.h"
#include <arpa/inet.h>
#include <fmt/format.h>
#include <httplib.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/data/load.h"
#include "mien/data/readers/image_io.h"
#include "mien/evaluation/calibration.h"
#include "mien/network/network.h"
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
  void start(ServeOptions options) {
    stop();
    options.port = 0;
    studio_ = std::make_unique<Studio>(std::vector<std::string>{served_run().string()}, 64);
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

TEST(Studio, RefusesAFolderThatIsNoRun) {
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [] { Studio({"/nowhere"}, 4); }), "no run folder"));
}

}  // namespace
}  // namespace mien::serve
