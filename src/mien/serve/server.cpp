#include "mien/serve/server.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <sys/random.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/report/app_page.h"
#include "mien/runtime/environment.h"
#include "mien/serve/openapi.h"

namespace mien::serve {
namespace {

using httplib::Request;
using httplib::Response;
using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr const char* kJson = "application/json";
constexpr size_t kKeptJobs = 512;
constexpr auto kSlowestClient = std::chrono::seconds(5);
constexpr auto kLongestAnswer = std::chrono::minutes(10);

// In live mode every script comes from the server; charts set styles of their own.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// 128 bits of the system's randomness: a secret must not be repeatable.
std::string random_token() {
  uint8_t bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    throw_failed("the system gives no random numbers for a token", "--token sets one");
  std::string token;
  for (const uint8_t byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

void fail(Response& response, int status, const std::string& message) {
  response.status = status;
  response.set_content(ordered_json{{"error", message}}.dump(-1, ' ', false, ordered_json::error_handler_t::replace),
                       kJson);
}

/// The name in a Host header without its port.
std::string host_name(const std::string& host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.rfind(':'));
}

bool same_text(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

/// The value of a cookie; empty if there is none.
std::string cookie(const Request& request, const std::string& name) {
  for (const std::string& part : split(request.get_header_value("Cookie"), ';')) {
    const std::string_view text = trim(part);
    if (text.starts_with(name + "=")) return std::string(text.substr(name.size() + 1));
  }
  return {};
}

size_t number_in(const std::string& text) {
  const auto value = parse_int(text);
  if (!value || *value < 0) throw RequestError{404, fmt::format("{} is no number", quote_sample(text))};
  return static_cast<size_t>(*value);
}

/// A number of pixels in the query.
double real_in(const Request& request, const char* key) {
  constexpr double kFarthest = 1e6;
  const auto value = parse_double(request.get_param_value(key));
  if (!value || !(std::abs(*value) <= kFarthest))
    throw RequestError{400, fmt::format("{} is missing or no number of pixels", key)};
  return *value;
}

/// Counts of times in buckets, as Prometheus reads them.
class Histogram {
 public:
  explicit Histogram(const char* name) : name_(name) {}
  void add(double seconds) {
    const std::lock_guard lock(mutex_);
    ++count_;
    sum_ += seconds;
    for (size_t i = 0; i < kBounds.size(); ++i) counts_[i] += seconds <= kBounds[i] ? 1 : 0;
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    std::string text = fmt::format("# TYPE {} histogram\n", name_);
    for (size_t i = 0; i < kBounds.size(); ++i)
      text += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name_, kBounds[i], counts_[i]);
    return text + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2:.6f}\n{0}_count {1}\n", name_, count_, sum_);
  }

 private:
  static constexpr std::array<double, 9> kBounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};
  const char* name_;
  mutable std::mutex mutex_;
  std::array<int64_t, 9> counts_{};
  int64_t count_ = 0;
  double sum_ = 0;
};

}  // namespace

struct Server::Parts {
  Studio& studio;
  ServeOptions options;
  httplib::Server http;
  int port = 0;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Job>> jobs;
  std::deque<std::string> order;
  std::atomic<int64_t> requests = 0, refused = 0, failed = 0, asked = 0;
  std::atomic<int64_t> next_job = 0;
  Histogram predict_seconds{"mien_predict_seconds"};
  Histogram explain_seconds{"mien_explain_seconds"};

  Parts(Studio& of, const ServeOptions& how) : studio(of), options(how) {}

  /// Wraps what answers a request: every exception becomes a status and one line.
  httplib::Server::Handler answering(std::function<void(const Request&, Response&)> answer) {
    return [this, answer = std::move(answer)](const Request& request, Response& response) {
      try {
        answer(request, response);
      } catch (const RequestError& error) {
        ++refused;
        fail(response, error.status, error.message);
      } catch (const Error& error) {
        ++refused;
        fail(response, error.code() == ErrorCode::usage ? 400 : 500, error.line());
      } catch (const std::exception& error) {
        ++failed;
        fail(response, 500, error.what());
      }
    };
  }

  /// Throws RequestError for a request that may not be answered; true if it was answered here.
  bool guard(const Request& request, Response& response) {
    const std::string host = request.get_header_value("Host");
    if (options.is_loopback()) {
      // A page that made its own name point here (DNS rebinding) still sends that name.
      const std::string name = host_name(host);
      if (name != "localhost" && name != "[::1]" && name != options.host && !name.starts_with("127."))
        throw RequestError{403, fmt::format("Host is {}, expected localhost or 127.0.0.1", quote_sample(host))};
    }
    if (request.has_header("Origin") && request.get_header_value("Origin") != "http://" + host)
      throw RequestError{403, "requests from other sites are not answered"};
    if (request.method != "GET" && request.method != "HEAD" && request.method != "POST" && request.method != "DELETE")
      throw RequestError{405, "expected GET, POST or DELETE"};
    if (options.token.empty()) return false;
    if (request.path == "/" && same_text(request.get_param_value("token"), options.token)) {
      response.set_header("Set-Cookie", "mien_token=" + options.token + "; HttpOnly; SameSite=Strict; Path=/");
      response.set_redirect("/");
      return true;
    }
    const std::string bearer = request.get_header_value("Authorization");
    if (!same_text(bearer, "Bearer " + options.token) && !same_text(cookie(request, "mien_token"), options.token))
      throw RequestError{401, "the token is missing or wrong: open the address that mien serve printed"};
    return false;
  }

  using Reader = Question (Studio::*)(std::string_view) const;

  static void expect_json(const Request& request) {
    if (!request.get_header_value("Content-Type").starts_with(kJson))
      throw RequestError{415, "expected Content-Type: application/json"};
  }

  std::shared_ptr<Job> ask(Question question) {
    ++asked;
    auto job = studio.models().ask(std::move(question));
    if (!job) throw RequestError{503, "too many questions are waiting: try again in a moment"};
    return job;
  }

  Question read(const Request& request, Reader reader) {
    expect_json(request);
    return (studio.*reader)(request.body);
  }
  Question read(const Request& request, bool explains) {
    expect_json(request);
    return studio.question(request.body, explains);
  }

  void answer_now(Question question, Response& response) {
    const auto start = std::chrono::steady_clock::now();
    const bool is_prediction = question.is_prediction();
    const auto job = ask(std::move(question));
    if (!job->wait(kLongestAnswer)) {
      job->cancel();
      throw RequestError{503, "it took too long"};
    }
    (is_prediction ? predict_seconds : explain_seconds)
        .add(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (job->state() == Job::State::done) return response.set_content(job->text(), kJson);
    throw RequestError{job->is_askers_fault() ? 400 : job->state() == Job::State::cancelled ? 503 : 500, job->text()};
  }

  std::string keep(const std::shared_ptr<Job>& job) {
    const std::string id = fmt::format("{}", ++next_job);
    const std::lock_guard lock(mutex);
    jobs[id] = job;
    order.push_back(id);
    while (order.size() > kKeptJobs) {
      jobs.erase(order.front());
      order.pop_front();
    }
    return id;
  }

  std::shared_ptr<Job> job(const std::string& id) {
    const std::lock_guard lock(mutex);
    const auto found = jobs.find(id);
    if (found == jobs.end()) throw RequestError{404, fmt::format("there is no job {}", quote_sample(id))};
    return found->second;
  }

  static std::string event(const Job& job) {
    const auto state = job.state();
    ordered_json json{{"state", to_text(state)}};
    if (const JobProgress progress = job.progress(); state == Job::State::running && progress.total > 0)
      json["progress"] = {{"what", progress.what}, {"done", progress.done}, {"total", progress.total}};
    if (state == Job::State::failed) json["error"] = job.text();
    std::string text = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    if (state == Job::State::done) {
      text.pop_back();
      text += ",\"answer\":" + job.text() + "}";
    }
    return text;
  }

  void add_pages() {
    http.Get(
        "/", answering([](const Request&, Response& response) {
          response.set_content(
              "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
              "content=\"width=device-width, initial-scale=1\">\n<title>Mien</title>\n<link rel=\"stylesheet\" "
              "href=\"/style.css\">\n<link rel=\"icon\" href=\"data:,\">\n</head>\n<body>\n<div id=\"app\"></div>\n"
              "<script src=\"/app.js\"></script>\n</body>\n</html>\n",
              "text/html; charset=utf-8");
        }));
    http.Get("/app.js", [](const Request&, Response& response) {
      const std::string_view text = report::app_files().script;
      response.set_content(text.data(), text.size(), "text/javascript; charset=utf-8");
    });
    http.Get("/style.css", [](const Request&, Response& response) {
      const std::string_view text = report::app_files().style;
      response.set_content(text.data(), text.size(), "text/css; charset=utf-8");
    });
    http.Get("/health", [this](const Request&, Response& response) {
      response.set_content(ordered_json{{"status", "ok"},
                                        {"version", runtime::environment().mien_version},
                                        {"models", studio.models().size()},
                                        {"waiting", studio.models().waiting()}}
                               .dump(),
                           kJson);
    });
    http.Get("/metrics", [this](const Request&, Response& response) {
      response.set_content(fmt::format("# TYPE mien_requests_total counter\nmien_requests_total {}\n"
                                       "# TYPE mien_requests_refused_total counter\nmien_requests_refused_total {}\n"
                                       "# TYPE mien_requests_failed_total counter\nmien_requests_failed_total {}\n"
                                       "# TYPE mien_questions_total counter\nmien_questions_total {}\n"
                                       "# TYPE mien_questions_waiting gauge\nmien_questions_waiting {}\n",
                                       requests.load(),
                                       refused.load(),
                                       failed.load(),
                                       asked.load(),
                                       studio.models().waiting()) +
                               predict_seconds.text() + explain_seconds.text(),
                           "text/plain; version=0.0.4");
    });
  }

  void add_api() {
    const auto json = [](std::string (*text)()) {
      return [text](const Request&, Response& response) { response.set_content(text(), kJson); };
    };
    http.Get("/api/v1/openapi.json", json(openapi_json));
    http.Get("/api/v1/methods", json(Studio::methods_json));
    http.Get("/api/v1/documents",
             [this](const Request&, Response& response) { response.set_content(studio.documents_json(), kJson); });
    http.Get("/api/v1/runs", answering([this](const Request&, Response& response) {
               response.set_content(studio.runs_json(), kJson);
             }));
    http.Get("/api/v1/runs/compare", answering([this](const Request& request, Response& response) {
               response.set_content(studio.difference(number_in(request.get_param_value("first")),
                                                      number_in(request.get_param_value("second"))),
                                    kJson);
             }));
    http.Get("/api/v1/models",
             [this](const Request&, Response& response) { response.set_content(studio.models_json(), kJson); });
    http.Get(R"(/api/v1/documents/(\d{1,6}))", answering([this](const Request& request, Response& response) {
               response.set_content(studio.document(number_in(request.matches[1])), kJson);
             }));
    http.Get(R"(/api/v1/documents/(\d{1,6})/pictures/(\w{1,20}))",
             answering([this](const Request& request, Response& response) {
               const auto [bytes, type] = studio.picture(number_in(request.matches[1]), request.matches[2]);
               response.set_content(bytes, type);
               response.set_header("Cache-Control", "private, max-age=3600");
             }));
    http.Post("/api/v1/predict", answering([this](const Request& request, Response& response) {
                answer_now(read(request, false), response);
              }));
    http.Post("/api/v1/explain", answering([this](const Request& request, Response& response) {
                answer_now(read(request, true), response);
              }));
    http.Post("/api/v1/photo", answering([this](const Request& request, Response& response) {
                if (!request.get_header_value("Content-Type").starts_with("application/octet-stream"))
                  throw RequestError{415, "expected Content-Type: application/octet-stream"};
                std::optional<Studio::Square> square;
                if (request.has_param("side"))
                  square = Studio::Square{real_in(request, "x"), real_in(request, "y"), real_in(request, "side")};
                response.set_content(studio.photo(number_in(request.get_param_value("model")), request.body, square),
                                     kJson);
              }));
  }

  void add_units() {
    http.Get(R"(/api/v1/models/(\d{1,6})/layers)", answering([this](const Request& request, Response& response) {
               response.set_content(studio.layers(number_in(request.matches[1])), kJson);
             }));
    http.Get(R"(/api/v1/models/(\d{1,6})/neighbors)", answering([this](const Request& request, Response& response) {
               answer_now(studio.neighbors_question(number_in(request.matches[1]),
                                                    request.get_param_value("part"),
                                                    static_cast<int64_t>(number_in(request.get_param_value("index")))),
                          response);
             }));
    for (const auto& [path, reader] : {std::pair<const char*, Reader>{"/api/v1/layer", &Studio::layer_question},
                                       {"/api/v1/unit", &Studio::unit_question}}) {
      http.Post(path, answering([this, reader = reader](const Request& request, Response& response) {
                  answer_now(read(request, reader), response);
                }));
    }
    for (const auto& [path, reader] : {std::pair<const char*, Reader>{"/api/v1/ascent", &Studio::ascent_question},
                                       {"/api/v1/survey", &Studio::survey_question}}) {
      http.Post(path, answering([this, reader = reader](const Request& request, Response& response) {
                  response.status = 202;
                  response.set_content(ordered_json{{"job", keep(ask(read(request, reader)))}}.dump(), kJson);
                }));
    }
  }

  void add_labels() {
    http.Get("/api/v1/labels", answering([this](const Request&, Response& response) {
               response.set_content(studio.desks_json(), kJson);
             }));
    http.Get(R"(/api/v1/labels/([\w-]{1,40}))", answering([this](const Request& request, Response& response) {
               response.set_content(studio.desk_json(request.matches[1]), kJson);
             }));
    http.Post(R"(/api/v1/labels/([\w-]{1,40}))", answering([this](const Request& request, Response& response) {
                expect_json(request);
                response.set_content(studio.decide(request.matches[1], request.body), kJson);
              }));
  }

  void add_jobs() {
    http.Post("/api/v1/jobs", answering([this](const Request& request, Response& response) {
                const std::string id = keep(ask(read(request, true)));
                response.status = 202;
                response.set_content(ordered_json{{"job", id}}.dump(), kJson);
              }));
    http.Get(R"(/api/v1/jobs/(\d{1,12}))", answering([this](const Request& request, Response& response) {
               response.set_content(event(*job(request.matches[1])), kJson);
             }));
    http.Delete(R"(/api/v1/jobs/(\d{1,12}))", answering([this](const Request& request, Response& response) {
                  const auto one = job(request.matches[1]);
                  one->cancel();
                  response.set_content(event(*one), kJson);
                }));
    http.Get(R"(/api/v1/jobs/(\d{1,12})/events)", answering([this](const Request& request, Response& response) {
               const auto one = job(request.matches[1]);
               response.set_chunked_content_provider("text/event-stream", [one](size_t, httplib::DataSink& sink) {
                 const bool is_over = one->wait(milliseconds(200));
                 const std::string text = "data: " + event(*one) + "\n\n";
                 if (!sink.write(text.data(), text.size())) return false;
                 if (is_over) sink.done();
                 return true;
               });
             }));
  }

  void set_limits() {
    const auto connections = static_cast<size_t>(options.connections);
    http.new_task_queue = [connections] { return new httplib::ThreadPool(connections); };
    http.set_payload_max_length(static_cast<size_t>(options.body_megabytes) << 20);
    http.set_read_timeout(kSlowestClient);
    http.set_write_timeout(kSlowestClient);
    http.set_keep_alive_timeout(1);  // a connection that says nothing holds a thread so long
    http.set_keep_alive_max_count(1000);
    http.set_default_headers({{"Content-Security-Policy", kPolicy},
                              {"X-Content-Type-Options", "nosniff"},
                              {"Referrer-Policy", "no-referrer"},
                              {"Cross-Origin-Resource-Policy", "same-origin"}});
    http.set_pre_routing_handler([this](const Request& request, Response& response) {
      ++requests;
      bool is_answered = true;
      answering([&](const Request& one, Response& of) { is_answered = guard(one, of); })(request, response);
      return is_answered ? httplib::Server::HandlerResponse::Handled : httplib::Server::HandlerResponse::Unhandled;
    });
    http.set_error_handler([](const Request&, Response& response) {
      if (response.body.empty())
        fail(response,
             response.status,
             response.status == 413   ? "the body is too large"
             : response.status == 404 ? "there is nothing at this address"
                                      : "the request cannot be understood");
    });
  }
};

Server::Server(Studio& studio, const ServeOptions& options) : parts_(std::make_unique<Parts>(studio, options)) {
  if (!options.is_loopback() && options.token.empty()) parts_->options.token = random_token();
  parts_->set_limits();
  parts_->add_pages();
  parts_->add_api();
  parts_->add_units();
  parts_->add_labels();
  parts_->add_jobs();
  const int wanted = static_cast<int>(options.port);
  if (wanted == 0) {
    parts_->port = parts_->http.bind_to_any_port(options.host);
  } else if (parts_->http.bind_to_port(options.host, wanted)) {
    parts_->port = wanted;
  }
  if (parts_->port <= 0)
    throw_failed(fmt::format("cannot listen on {} port {}", options.host, wanted),
                 "another program may use it; --port 0 takes a free one");
}

Server::~Server() = default;

int Server::port() const { return parts_->port; }
const std::string& Server::token() const { return parts_->options.token; }

std::string Server::address() const {
  return fmt::format(
      "http://{}:{}/{}", parts_->options.host, parts_->port, token().empty() ? "" : fmt::format("?token={}", token()));
}

void Server::run(const std::function<bool()>& is_over) {
  std::atomic<bool> has_ended = false;
  std::thread watcher([&] {
    while (!has_ended) {
      if (is_over()) parts_->http.stop();  // does nothing before listening has begun: hence again and again
      std::this_thread::sleep_for(milliseconds(100));
    }
  });
  parts_->http.listen_after_bind();
  has_ended = true;
  watcher.join();
}

void Server::stop() { parts_->http.stop(); }

void serve_task(const std::vector<std::string>& folders, const ServeOptions& options, ProgressListener& listener) {
  runtime::configure_threads(static_cast<int>(options.threads));
  Studio studio(folders, static_cast<size_t>(options.queue));
  Server server(studio, options);
  listener.line(fmt::format("serving {} at {} (Ctrl-C ends it)", join(folders, ", "), server.address()));
  server.run([&listener] { return listener.stop_requested(); });
}

}  // namespace mien::serve
