#include "mien/serve/model_thread.h"

#include <algorithm>

#include "mien/core/error.h"
#include "mien/core/work_steps.h"
#include "mien/serve/request_error.h"

namespace mien::serve {
namespace {

constexpr size_t kLargestBatch = 64;

/// Hears how far a job is, and wants it to end when it was cancelled.
class JobListener final : public ProgressListener {
 public:
  explicit JobListener(Job& job) : job_(job) {}
  void line(std::string_view) override {}
  void warning(std::string_view) override {}
  void progress(std::string_view what, int64_t done, int64_t total, std::string_view) override {
    job_.tell({std::string(what), done, total});
  }
  bool stop_requested() const override { return job_.is_over() || mien::stop_requested(); }

 private:
  Job& job_;
};

}  // namespace

ModelThread::ModelThread(size_t queue_limit) : queue_limit_(queue_limit), thread_([this] { work(); }) {}

ModelThread::~ModelThread() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    for (const auto& job : queue_) job->cancel();
    queue_.clear();
    if (running_) running_->cancel();
  }
  changed_.notify_all();
  thread_.join();
}

size_t ModelThread::add(const std::filesystem::path& weights) {
  auto model = std::make_unique<ServedModel>(network::load_weights(weights));
  const std::lock_guard lock(mutex_);
  models_.push_back(std::move(model));
  return models_.size() - 1;
}

size_t ModelThread::size() const {
  const std::lock_guard lock(mutex_);
  return models_.size();
}

ServedModel& ModelThread::model(size_t index) const {
  const std::lock_guard lock(mutex_);
  return *models_.at(index);
}

const ModelInput& ModelThread::input(size_t index) const { return model(index).input; }
const std::map<std::string, std::string>& ModelThread::metadata(size_t index) const {
  return model(index).loaded.info.extra;
}

const network::Graph& ModelThread::graph(size_t index) const { return model(index).frozen.graph(); }
const std::vector<std::string>& ModelThread::layers(size_t index) const { return model(index).layers; }
const std::vector<std::string>& ModelThread::methods(size_t index) const { return model(index).methods; }

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
  running_ = jobs[0];
  if (!jobs[0]->question().is_prediction()) return jobs;
  for (auto at = queue_.begin(); at != queue_.end() && jobs.size() < kLargestBatch;) {
    const Question& other = (*at)->question();
    if (other.is_prediction() && other.model == jobs[0]->question().model) {
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
      answer(jobs);
    } catch (const RequestError& error) {
      fail_all(error.message, error.status < 500);
    } catch (const Error& error) {
      fail_all(error.line(), error.code() == ErrorCode::usage);
    } catch (const std::exception& error) {
      fail_all(error.what(), false);
    }
    const std::lock_guard lock(mutex_);
    running_.reset();
  }
}

void ModelThread::answer(const std::vector<std::shared_ptr<Job>>& jobs) {
  const Question& first = jobs[0]->question();
  ServedModel& asked = model(first.model);
  if (first.is_prediction()) {
    std::vector<std::vector<uint8_t>> faces;
    for (const auto& job : jobs) faces.push_back(job->question().pixels);
    const auto answers = asked.predict(faces);
    for (size_t i = 0; i < jobs.size(); ++i) jobs[i]->finish(answers[i]);
    return;
  }
  JobListener listener(*jobs[0]);
  const StepListener steps(listener);
  jobs[0]->finish(first.work ? first.work(asked, listener) : asked.explain(first));
}

}  // namespace mien::serve
