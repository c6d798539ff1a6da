#include "mien/benchmarks/bench_rounds.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>
#include <optional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "mien/core/random.h"
#include "mien/evaluation/evaluator.h"
#include "mien/network/network.h"
#include "mien/training/batch_builder.h"
#include "mien/training/batch_queue.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::benchmarks {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

json layers_json(const network::Graph& graph) {
  json layers = json::array();
  for (const network::Layer& l : graph.layers) {
    layers.push_back({{"kind", std::string(network::to_text(l.kind))},
                      {"name", l.name},
                      {"inputs", l.inputs},
                      {"in", l.kind == network::LayerKind::dense ? l.input_shape.elements() : l.input_shape.channels},
                      {"out", l.output_shape.channels},
                      {"flat", l.output_shape.is_flat},
                      {"kernel", {l.kernel_height, l.kernel_width}},
                      {"stride", l.stride},
                      {"padding", {l.padding.top, l.padding.left, l.padding.bottom, l.padding.right}},
                      {"groups", l.groups},
                      {"bias", l.bias},
                      {"slope", l.negative_slope},
                      {"probability", l.probability}});
  }
  return layers;
}

}  // namespace

std::vector<int64_t> first_rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

data::Dataset random_faces(const network::Graph& graph, int64_t count) {
  data::Dataset faces;
  const network::Shape input = graph.input_shape();
  faces.channels = input.channels;
  faces.height = input.height;
  faces.width = input.width;
  faces.class_names.resize(static_cast<size_t>(graph.classes()));
  RandomStream random(0, "bench");
  faces.pixels.resize(static_cast<size_t>(count * input.elements()));
  for (uint8_t& value : faces.pixels) value = static_cast<uint8_t>(random.next());
  for (int64_t i = 0; i < count; ++i)
    faces.labels.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(graph.classes()))));
  return faces;
}

double mien_training_rate(const network::Graph& graph,
                          int64_t batch_size,
                          const StepBudget& budget,
                          network::Precision precision) {
  constexpr int64_t kEpoch = 1000;  // steps for which one queue makes batches
  network::Network network(graph, 0);
  const network::PrecisionScope scope(precision);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const data::Dataset faces = random_faces(graph, batch_size);
  const training::BatchBuilder batches(faces, {}, {}, 0, 0);
  const std::vector<training::BatchRange> ranges(kEpoch, {.begin = 0, .end = batch_size});
  std::optional<training::BatchQueue> queue;
  int64_t steps = 0;
  const auto step = [&] {
    if (steps % kEpoch == 0) queue.emplace(batches, first_rows(batch_size), ranges, 1 + steps / kEpoch);
    ++steps;
    const training::Batch batch = queue->next();
    const at::Tensor loss =
        training::cross_entropy(network.forward(batch.images, network::Mode::training), batch.targets);
    loss.backward();
    optimizer.step(1e-3);
    optimizer.zero_grad();
    return loss.item<double>();
  };
  for (int64_t i = 0; i < budget.warm_up; ++i) step();
  std::vector<double> times;
  const auto begin = Clock::now();
  while (seconds_since(begin) < budget.seconds || std::ssize(times) < budget.least) {
    const auto start = Clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  return static_cast<double>(batch_size) / median(times);
}

double mien_evaluation_seconds(const network::Graph& graph, const data::Dataset& faces, int64_t batch_size) {
  const network::Network network(graph, 0);
  const std::vector<int64_t> warm_up = first_rows(std::min<int64_t>(faces.size(), batch_size));
  evaluation::predict(network, {}, faces, warm_up, {.batch_size = batch_size});
  const std::vector<int64_t> rows = first_rows(faces.size());
  const auto start = Clock::now();
  evaluation::predict(network, {}, faces, rows, {.batch_size = batch_size});
  return seconds_since(start);
}

std::vector<double> mien_latencies_ms(const network::Graph& graph, double seconds) {
  const network::Network network(graph, 0);
  const data::Dataset faces = random_faces(graph, 1);
  const std::vector<int64_t> rows{0};
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) evaluation::predict(network, {}, faces, rows);
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds || times.size() < 20) {
    const auto start = Clock::now();
    evaluation::predict(network, {}, faces, rows);
    times.push_back(1e3 * seconds_since(start));
  }
  return times;
}

std::string to_text(PytorchMemory memory) {
  return memory == PytorchMemory::as_installed ? "as installed" : "without page faults";
}

std::string json_key(PytorchMemory memory) {
  return memory == PytorchMemory::as_installed ? "pytorch_as_installed" : "pytorch_without_page_faults";
}

EnvironmentChanges malloc_environment(PytorchMemory memory) {
  if (memory == PytorchMemory::as_installed) {
    return {{"MALLOC_MMAP_THRESHOLD_", {}}, {"MALLOC_TRIM_THRESHOLD_", {}}, {"MALLOC_TOP_PAD_", {}}};
  }
  return {{"MALLOC_MMAP_THRESHOLD_", "4294967296"},
          {"MALLOC_TRIM_THRESHOLD_", "8589934592"},
          {"MALLOC_TOP_PAD_", "268435456"}};
}

std::vector<std::string> pytorch_modes() { return {"eager", "compile", "bf16", "compile+bf16"}; }

PytorchAnswer ask_pytorch(const std::string& python,
                          PytorchMemory memory,
                          const std::string& mode,
                          const network::Graph& graph,
                          int64_t batch_size,
                          const StepBudget& budget,
                          int64_t faces,
                          const std::string& pytorch_mode) {
  if (python.empty()) return {};
  const network::Shape input = graph.input_shape();
  const json job{{"mode", mode},
                 {"layers", layers_json(graph)},
                 {"batch", batch_size},
                 {"threads", at::get_num_threads()},
                 {"seconds", budget.seconds},
                 {"warm_up", budget.warm_up},
                 {"least", budget.least},
                 {"faces", faces},
                 {"compile", pytorch_mode.starts_with("compile")},
                 {"bf16", pytorch_mode.ends_with("bf16")},
                 {"classes", graph.classes()},
                 {"input", {input.channels, input.height, input.width}}};
  const ChildResult child =
      run_child({python, "-c", bench_script("pytorch_bench")}, job.dump(), malloc_environment(memory));
  const json answer = json::parse(child.out, nullptr, /*allow_exceptions=*/false);
  if (!child.succeeded || !answer.is_object()) return {.error = child.error};
  return {.succeeded = true,
          .version = answer.value("version", ""),
          .value = answer.value("value", 0.0),
          .high = answer.value("high", 0.0),
          .peak_memory_bytes = child.peak_memory_bytes};
}

}  // namespace mien::benchmarks
