#include "mien/app/bench_task.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/app/environment.h"
#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/random.h"
#include "mien/data/csv_reader.h"
#include "mien/network/network.h"
#include "mien/training/batches.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

extern char** environ;

namespace mien {
std::span<const EmbeddedFile> bench_scripts_files();
}

namespace mien::app {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string script(std::string_view name) {
  for (const EmbeddedFile& file : bench_scripts_files()) {
    if (file.name == name) return std::string(file.text);
  }
  throw_failed(fmt::format("the program holds no script {}", name));
}

/// Runs `python -c script argument` with `input` on standard input. Its standard output, or nothing if it failed.
std::string run_python(const std::string& python, const std::string& code, const std::string& argument, const std::string& input) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("mien-bench-{}", ::getpid());
  const auto in = folder / "in";
  const auto out = folder / "out";
  write_atomic(in, input);
  write_atomic(out, "");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<std::string> words{python, "-c", code, argument};
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  int status = -1;
  if (::posix_spawnp(&child, python.c_str(), &actions, nullptr, pointers.data(), environ) == 0) ::waitpid(child, &status, 0);
  posix_spawn_file_actions_destroy(&actions);
  std::string text = status == 0 ? read_text(out) : "";
  std::filesystem::remove_all(folder);
  return text;
}

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
  for (int64_t i = 0; i < count; ++i) faces.labels.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(graph.classes()))));
  return faces;
}

/// Median faces per second of Mien's training steps over about `seconds`.
double mien_round(const network::Graph& graph, int64_t batch_size, double seconds) {
  network::Network network(graph, 0);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const data::Dataset faces = random_faces(graph, batch_size);
  const training::BatchMaker batches(faces, {}, {}, 0, 0);
  std::vector<int64_t> rows(static_cast<size_t>(batch_size));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  const auto step = [&](int64_t index) {
    const training::Batch batch = batches.make(rows, 1, 0, index);
    const at::Tensor loss = training::cross_entropy(network.forward(batch.images, network::Mode::training), batch.targets);
    loss.backward();
    optimizer.step(1e-3);
    optimizer.zero_grad();
    return loss.item<double>();
  };
  step(0);
  step(1);
  std::vector<double> times;
  const auto begin = Clock::now();
  while (seconds_since(begin) < seconds || times.size() < 3) {
    const auto start = Clock::now();
    step(static_cast<int64_t>(times.size()));
    times.push_back(seconds_since(start));
  }
  return static_cast<double>(batch_size) / median(times);
}

}  // namespace

void BenchOptions::bind(OptionSet& options) {
  options.group("bench");
  options.add(&networks, {.name = "networks", .help = "networks to time"});
  options.add(&batch_size, {.name = "batch-size", .help = "faces per step", .unit = "faces", .minimum = 2, .maximum = 65536});
  options.add(&rounds, {.name = "rounds", .help = "times that Mien and PyTorch take turns", .minimum = 1, .maximum = 100});
  options.add(&seconds, {.name = "seconds", .help = "time of each measurement", .unit = "seconds", .minimum = 0.1, .maximum = 600});
  options.add(&python, {.name = "python", .help = "Python that has PyTorch, or pandas for `bench csv`; an empty text leaves the comparison out"});
  options.add(&threads, {.name = "threads", .help = "threads of both; 0 takes all cores", .minimum = 0, .maximum = 1024});
}

BenchResult bench_train(const BenchOptions& options, Listener& listener) {
  BenchResult result{.batch_size = options.batch_size, .threads = at::get_num_threads()};
  result.sgemm_gflops = measure_blas_gflops(1.0);
  for (const std::string& name : options.networks) {
    const network::Graph graph = network::load_graph(name);
    const network::Shape input = graph.input_shape();
    const json job{{"layers", layers_json(graph)},
                   {"batch", options.batch_size},
                   {"threads", result.threads},
                   {"seconds", options.seconds},
                   {"classes", graph.classes()},
                   {"input", {input.channels, input.height, input.width}}};
    std::vector<double> mien;
    std::vector<double> pytorch;
    std::vector<double> ratios;
    for (int64_t round = 0; round < options.rounds; ++round) {
      if (stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
      listener.progress("bench " + name, round, options.rounds, "");
      mien.push_back(mien_round(graph, options.batch_size, options.seconds));
      if (options.python.empty()) continue;
      const std::string text = run_python(options.python, script("pytorch_train"), "", job.dump());
      const json answer = json::parse(text, nullptr, false);
      if (!answer.is_object()) continue;
      result.pytorch_version = answer["version"].get<std::string>();
      pytorch.push_back(answer["faces_per_second"].get<double>());
      ratios.push_back(mien.back() / pytorch.back());
    }
    BenchRow row{.network = name, .mien_faces_per_second = median(mien), .pytorch_faces_per_second = median(pytorch), .ratio = median(ratios)};
    if (!ratios.empty()) {
      row.ratio_low = *std::min_element(ratios.begin(), ratios.end());
      row.ratio_high = *std::max_element(ratios.begin(), ratios.end());
    }
    row.gflops = row.mien_faces_per_second * 3 * 2 * static_cast<double>(graph.multiply_adds()) * 1e-9;
    result.rows.push_back(row);
    listener.progress("bench " + name, options.rounds, options.rounds, "");
  }
  if (result.pytorch_version.empty() && !options.python.empty()) {
    listener.warning(fmt::format("{} has no PyTorch (apt-get install python3-torch): Mien was timed alone", options.python));
  }
  return result;
}

std::string bench_text(const BenchResult& result) {
  std::string text = fmt::format("training, batch {}, {} threads, Adam; sgemm {:.0f} GFLOP/s{}\n", result.batch_size, result.threads,
                                 result.sgemm_gflops, result.pytorch_version.empty() ? "" : "; PyTorch " + result.pytorch_version);
  text += fmt::format("{:<12} {:>14} {:>16} {:>22} {:>10} {:>9}\n", "network", "Mien faces/s", "PyTorch faces/s", "ratio (min to max)", "GFLOP/s", "of sgemm");
  for (const BenchRow& row : result.rows) {
    text += fmt::format("{:<12} {:>14.0f} {:>16} {:>22} {:>10.0f} {:>8.0f}%\n", row.network, row.mien_faces_per_second,
                        row.pytorch_faces_per_second > 0 ? fmt::format("{:.0f}", row.pytorch_faces_per_second) : "-",
                        row.pytorch_faces_per_second > 0 ? fmt::format("{:.2f} ({:.2f} to {:.2f})", row.ratio, row.ratio_low, row.ratio_high) : "-",
                        row.gflops, 100 * row.gflops / result.sgemm_gflops);
  }
  return text;
}

std::string bench_json(const BenchResult& result) {
  nlohmann::ordered_json out{{"batch_size", result.batch_size}, {"threads", result.threads}, {"sgemm_gflops", result.sgemm_gflops}, {"pytorch", result.pytorch_version}};
  for (const BenchRow& row : result.rows) {
    out["networks"].push_back({{"network", row.network},
                               {"mien_faces_per_second", row.mien_faces_per_second},
                               {"pytorch_faces_per_second", row.pytorch_faces_per_second},
                               {"ratio", row.ratio},
                               {"ratio_low", row.ratio_low},
                               {"ratio_high", row.ratio_high},
                               {"gflops", row.gflops}});
  }
  return out.dump(2) + "\n";
}

CsvBenchResult bench_csv(const std::string& csv, const BenchOptions& options, Listener& listener) {
  CsvBenchResult result;
  data::read_csv(csv, {}, silent_listener());  // warms the file cache, and says what is wrong with the file
  result.megabytes = static_cast<double>(std::filesystem::file_size(csv)) * 1e-6;
  std::vector<double> times;
  for (int64_t round = 0; round < options.rounds; ++round) {
    const auto start = Clock::now();
    data::read_csv(csv, {}, silent_listener());
    times.push_back(seconds_since(start));
    listener.progress("bench csv", round + 1, options.rounds, "");
  }
  result.mien_seconds = median(times);
  if (!options.python.empty()) {
    const std::string text = run_python(options.python, script("pandas_read"), std::filesystem::absolute(csv).string(), "");
    result.pandas_seconds = std::strtod(text.c_str(), nullptr);
  }
  return result;
}

}  // namespace mien::app
