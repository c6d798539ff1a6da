#include "mien/serve/model_thread.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/dataset.h"
#include "mien/data/preprocess.h"
#include "mien/evaluation/evaluator.h"
#include "mien/explain/batches.h"
#include "mien/explain/faithfulness/faithfulness.h"
#include "mien/explain/methods.h"
#include "mien/network/network.h"
#include "mien/runs/voters.h"

namespace mien::serve {
namespace {

using nlohmann::ordered_json;

constexpr size_t kLargestBatch = 64;
constexpr int kMapSteps = 1000;  // a map's values are sent as whole numbers of so many steps

ordered_json finite(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }

}  // namespace

struct ModelThread::Model {
  network::LoadedWeights loaded;
  network::Network frozen;
  double temperature;  ///< that its probabilities are at, from calibration
  ModelInput input;
  std::vector<std::string> layers;
  std::vector<std::string> methods;

  explicit Model(network::LoadedWeights weights)
      : loaded(std::move(weights)),
        frozen(explain::frozen_copy(loaded.network)),
        temperature(runs::stored_temperature(loaded.info)) {
    const network::Graph& graph = loaded.network.graph();
    const network::Shape shape = graph.input_shape();
    input = {shape.channels, shape.height, shape.width, loaded.info.class_names};
    for (int64_t k = static_cast<int64_t>(input.class_names.size()); k < graph.classes(); ++k)
      input.class_names.push_back(fmt::format("class {}", k));
    for (const network::Layer& layer : graph.layers) {
      if (!layer.output_shape.is_flat && layer.kind != network::LayerKind::input) layers.push_back(layer.name);
    }
    for (const explain::MethodSpec& spec : explain::methods()) {
      if (!spec.unsupported_reason || spec.unsupported_reason(graph).empty()) methods.push_back(spec.name);
    }
  }

  /// The faces of `jobs` as data.
  data::Dataset faces(const std::vector<std::shared_ptr<Job>>& jobs) const {
    data::Dataset set{.channels = input.channels,
                      .height = input.height,
                      .width = input.width,
                      .class_names = input.class_names,
                      .source = "the request"};
    for (const auto& job : jobs) {
      const auto& pixels = job->question().pixels;
      set.pixels.insert(set.pixels.end(), pixels.begin(), pixels.end());
      set.labels.push_back(data::kUnlabeled);
      set.usages.push_back(data::Usage::unknown);
      set.ids.push_back(static_cast<int64_t>(set.ids.size()));
    }
    return set;
  }

  ordered_json probabilities(const at::Tensor& logits) const {
    const at::Tensor rates = at::softmax(logits.to(at::kDouble) / temperature, 0);
    ordered_json list = ordered_json::array();
    for (int64_t k = 0; k < rates.size(0); ++k) list.push_back(finite(rates[k].item<double>()));
    return list;
  }

  void predict(const std::vector<std::shared_ptr<Job>>& jobs) const {
    const data::Dataset set = faces(jobs);
    std::vector<int64_t> rows(jobs.size());
    std::iota(rows.begin(), rows.end(), 0);
    const at::Tensor images = evaluation::normalized_images(set, loaded.info.normalization, rows);
    const at::Tensor logits = explain::logits_of(frozen, images, static_cast<int64_t>(kLargestBatch));
    for (size_t i = 0; i < jobs.size(); ++i) {
      const at::Tensor own = logits[static_cast<int64_t>(i)];
      const ordered_json json{{"classes", input.class_names},
                              {"predicted", input.class_names[static_cast<size_t>(own.argmax().item<int64_t>())]},
                              {"probabilities", probabilities(own)}};
      jobs[i]->finish(json.dump());
    }
  }

  int64_t target_of(const std::string& target, const at::Tensor& logits) const {
    if (target == "predicted") return logits[0].argmax().item<int64_t>();
    const auto found = std::find(input.class_names.begin(), input.class_names.end(), target);
    if (found == input.class_names.end())
      throw_usage(fmt::format("target is {}, expected predicted or a class", quote_sample(target)),
                  suggestion(target, input.class_names));
    return found - input.class_names.begin();
  }

  std::string explained(const std::shared_ptr<Job>& job) const {
    const auto begin = std::chrono::steady_clock::now();
    const Question& question = job->question();
    const explain::MethodSpec& spec = explain::method(question.method);
    explain::MethodOptions options;
    OptionSet set;
    options.bind(set);
    for (const auto& [name, text] : question.options)
      set.set(name, text, Origin::command_line, fmt::format("option {}", quote_sample(name)));
    const data::Dataset one = faces({job});
    const int64_t row = 0;
    const at::Tensor images = evaluation::normalized_images(one, loaded.info.normalization, {&row, 1});
    const at::Tensor logits = explain::logits_of(frozen, images, 1);
    const int64_t target = target_of(question.target, logits);
    const explain::AttributionRequest request{
        .network = frozen,
        .images = images,
        .targets = at::full({1}, target, at::kLong),
        .black = at::full({1}, data::black_level(one.image(0), loaded.info.normalization), at::kFloat)};
    const explain::Attributions result = explain::explain(spec, request, options);
    ordered_json json{{"method", spec.name},
                      {"source", spec.source},
                      {"signed", spec.is_signed},
                      {"classes", input.class_names},
                      {"target", input.class_names[static_cast<size_t>(target)]},
                      {"probabilities", probabilities(logits[0])},
                      {"height", input.height},
                      {"width", input.width}};
    if (result.layer >= 0) json["layer"] = frozen.graph().layers[static_cast<size_t>(result.layer)].name;
    add_map(json, result.values[0]);
    if (!result.diagnostics.empty()) {
      for (const auto& [name, value] : result.diagnostics[0]) json["diagnostics"][name] = finite(value);
    }
    if (question.measure) {
      explain::FaithfulnessOptions how;
      how.rerun_faces = 0;
      const auto measured = explain::measure(spec, request, result.values, {}, options, how);
      for (const auto& [name, values] : measured.values) json["faithfulness"][name] = finite(values[0]);
    }
    json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return json.dump();
  }

  static void add_map(ordered_json& json, const at::Tensor& map) {
    const at::Tensor values = map.to(at::kDouble).contiguous();
    const double largest = values.abs().max().item<double>();
    json["largest"] = finite(largest);
    json["steps"] = kMapSteps;
    ordered_json list = ordered_json::array();
    const double scale = largest > 0 && std::isfinite(largest) ? kMapSteps / largest : 0;
    const double* begin = values.data_ptr<double>();
    for (int64_t i = 0; i < values.numel(); ++i)
      list.push_back(std::isfinite(begin[i]) ? std::lround(scale * begin[i]) : 0);
    json["map"] = std::move(list);
  }
};

ModelThread::ModelThread(const std::vector<std::filesystem::path>& weights, size_t queue_limit)
    : queue_limit_(queue_limit) {
  for (const auto& file : weights) models_.push_back(std::make_unique<Model>(network::load_weights(file)));
  thread_ = std::thread([this] { work(); });
}

ModelThread::~ModelThread() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    for (const auto& job : queue_) job->cancel();
    queue_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

size_t ModelThread::size() const { return models_.size(); }
const ModelInput& ModelThread::input(size_t model) const { return models_.at(model)->input; }
const std::vector<std::string>& ModelThread::layers(size_t model) const { return models_.at(model)->layers; }
const std::vector<std::string>& ModelThread::methods(size_t model) const { return models_.at(model)->methods; }

std::shared_ptr<Job> ModelThread::ask(Question question) {
  auto job = std::make_shared<Job>(std::move(question));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(queue_, [](const auto& one) { return one->is_over(); });  // cancelled while they waited
    if (is_over_ || queue_.size() >= queue_limit_) return nullptr;
    queue_.push_back(job);
  }
  changed_.notify_all();
  return job;
}

size_t ModelThread::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

std::vector<std::shared_ptr<Job>> ModelThread::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_over_ || !queue_.empty(); });
  if (is_over_) return {};
  std::vector<std::shared_ptr<Job>> jobs{queue_.front()};
  queue_.pop_front();
  if (!jobs[0]->question().method.empty()) return jobs;
  for (auto at = queue_.begin(); at != queue_.end() && jobs.size() < kLargestBatch;) {
    const Question& other = (*at)->question();
    if (other.method.empty() && other.model == jobs[0]->question().model) {
      jobs.push_back(*at);
      at = queue_.erase(at);
    } else {
      ++at;
    }
  }
  return jobs;
}

void ModelThread::work() {
  for (auto jobs = next(); !jobs.empty(); jobs = next()) {
    std::erase_if(jobs, [](const auto& job) { return !job->start(); });
    if (jobs.empty()) continue;
    const auto fail_all = [&jobs](const std::string& reason, bool is_askers_fault) {
      for (const auto& job : jobs) job->fail(reason, is_askers_fault);
    };
    try {
      const Model& model = *models_.at(jobs[0]->question().model);
      if (jobs[0]->question().method.empty()) {
        model.predict(jobs);
      } else {
        jobs[0]->finish(model.explained(jobs[0]));
      }
    } catch (const Error& error) {
      fail_all(error.line(), error.code() == ErrorCode::usage);
    } catch (const std::exception& error) {
      fail_all(error.what(), false);
    }
  }
}

}  // namespace mien::serve
