#include "mien/benchmarks/bench_task.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/benchmarks/bench_process.h"
#include "mien/benchmarks/bench_rounds.h"
#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/readers/csv_reader.h"
#include "mien/runtime/roofline.h"

namespace mien::benchmarks {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One network's measurements, Mien's and PyTorch's taken in turn.
struct Pair {
  std::string network;
  std::vector<double> mien;
  std::map<PytorchMemory, std::vector<double>> pytorch;  // empty where there is no PyTorch
  double multiply_adds = 0;
};

struct Pairs {
  std::vector<Pair> rows;
  std::string pytorch_version;
  std::string pytorch_mode = "eager";
};

/// Measures every network `options.rounds` times; `mien` returns a value, `mode` and `faces` are for ask_pytorch.
template <class Measure>
Pairs measure(const BenchOptions& options,
              const std::string& mode,
              int64_t faces,
              ProgressListener& listener,
              const Measure& mien) {
  Pairs pairs{.rows = {}, .pytorch_version = {}, .pytorch_mode = options.pytorch_mode};
  std::string error;
  for (const std::string& name : options.networks) {
    const network::Graph graph = network::load_graph(name);
    Pair pair{
        .network = graph.name, .mien = {}, .pytorch = {}, .multiply_adds = static_cast<double>(graph.multiply_adds())};
    for (int64_t round = 0; round < options.rounds; ++round) {
      if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
      listener.progress(fmt::format("bench {} {}", mode, name), round, options.rounds, "");
      pair.mien.push_back(mien(graph));
      for (const PytorchMemory memory : kPytorchMemories) {
        const PytorchAnswer answer = ask_pytorch(options.python,
                                                 memory,
                                                 mode,
                                                 graph,
                                                 options.batch_size,
                                                 {.seconds = options.seconds},
                                                 faces,
                                                 options.pytorch_mode);
        if (!answer.succeeded) {
          error = answer.error;
          continue;
        }
        pairs.pytorch_version = answer.version;
        pair.pytorch[memory].push_back(answer.value);
      }
    }
    listener.progress(fmt::format("bench {} {}", mode, name), options.rounds, options.rounds, "");
    pairs.rows.push_back(std::move(pair));
  }
  if (pairs.pytorch_version.empty() && !options.python.empty()) {
    listener.warning(fmt::format("{} measured nothing, so Mien was measured alone: {}",
                                 options.python,
                                 error.empty() ? "it does not start" : quote_sample(error, 200)));
  }
  return pairs;
}

/// How many times better Mien is, round by round, ascending; `more_is_better` says of what is measured.
std::vector<double> ratios(const std::vector<double>& mien, const std::vector<double>& pytorch, bool more_is_better) {
  std::vector<double> result;
  for (size_t i = 0; i < std::min(mien.size(), pytorch.size()); ++i) {
    result.push_back(more_is_better ? mien[i] / pytorch[i] : pytorch[i] / mien[i]);
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::string ratio_text(const std::vector<double>& sorted) {
  return sorted.empty() ? "-" : fmt::format("{:.2f} ({:.2f} to {:.2f})", median(sorted), sorted.front(), sorted.back());
}

ordered_json row_json(const Pair& pair, bool more_is_better, const std::string& unit) {
  ordered_json json{{"network", pair.network}, {"mien_" + unit, median(pair.mien)}};
  for (const auto& [memory, values] : pair.pytorch) {
    const std::vector<double> ratio = ratios(pair.mien, values, more_is_better);
    if (ratio.empty()) continue;
    json[json_key(memory)] = {
        {unit, median(values)}, {"ratio", median(ratio)}, {"ratio_low", ratio.front()}, {"ratio_high", ratio.back()}};
  }
  return json;
}

/// Two lines over a table: `left` stands over Mien's columns, `right` (may be empty) over what follows PyTorch's.
std::string table_head(const std::string& left, const std::string& unit, const std::string& right = {}) {
  std::string above(left.size(), ' ');
  std::string below = left;
  for (const PytorchMemory memory : kPytorchMemories) {
    above += fmt::format("  {:>32}", "PyTorch " + to_text(memory));
    below += fmt::format("  {:>10} {:>21}", unit, "ratio (min to max)");
  }
  return above + "\n" + below + right + "\n";
}

/// The cells of one network that belong under table_head's PyTorch columns.
std::string pytorch_cells(const Pair& pair, const char* format, bool more_is_better) {
  std::string cells;
  for (const PytorchMemory memory : kPytorchMemories) {
    const auto found = pair.pytorch.find(memory);
    const bool is_there = found != pair.pytorch.end();
    cells += fmt::format("  {:>10} {:>21}",
                         is_there ? fmt::format(fmt::runtime(format), median(found->second)) : "-",
                         is_there ? ratio_text(ratios(pair.mien, found->second, more_is_better)) : "-");
  }
  return cells;
}

std::string heading(const std::string& what, const Pairs& pairs) {
  return fmt::format(
      "{}, {} threads{}\n",
      what,
      at::get_num_threads(),
      pairs.pytorch_version.empty() ? "" : fmt::format("; PyTorch {} ({})", pairs.pytorch_version, pairs.pytorch_mode));
}

ordered_json facts(const BenchOptions& options, const std::string& version) {
  ordered_json json{{"batch_size", options.batch_size}, {"threads", at::get_num_threads()}, {"pytorch", version}};
  for (const auto& [name, value] : malloc_environment(PytorchMemory::without_page_faults)) {
    json["without_page_faults"][name] = value.value_or("");
  }
  return json;
}

double megabytes(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }

}  // namespace

void BenchOptions::bind(OptionSet& options) {
  options.group("bench");
  options.add(&networks, {.name = "networks", .help = "networks to measure: built-in ones or paths of network files"});
  options.add(&batch_size,
              {.name = "batch-size", .help = "faces per step", .unit = "faces", .minimum = 2, .maximum = 65536});
  options.add(&rounds,
              {.name = "rounds", .help = "times that Mien and PyTorch take turns", .minimum = 1, .maximum = 100});
  options.add(
      &seconds,
      {.name = "seconds", .help = "time of each measurement", .unit = "seconds", .minimum = 0.1, .maximum = 600});
  options.add(&python,
              {.name = "python",
               .help = "Python that has PyTorch, or pandas for `bench csv`; an empty text leaves the comparison out"});
  options.add(&threads,
              {.name = "threads", .help = "threads of both; 0 takes all cores", .minimum = 0, .maximum = 1024});
  options.add(
      &pytorch_mode,
      {.name = "pytorch-mode",
       .help = "how PyTorch trains and evaluates: as it is, by torch.compile, under torch.autocast in bf16, or both",
       .choices = pytorch_modes()});
}

BenchReport bench_train(const BenchOptions& options, ProgressListener& listener) {
  const network::Precision precision = network::parse_precision(options.precision);
  const bool has_rates = options.machine_rates;
  const double registers = has_rates ? runtime::register_gflops(1) : 0;
  const double convolution = has_rates ? runtime::convolution_gflops(1) : 0;
  const double sgemm = has_rates ? runtime::matrix_product_gflops(1) : 0;
  const Pairs pairs = measure(options, "train", 0, listener, [&](const network::Graph& graph) {
    return mien_training_rate(graph, options.batch_size, {.seconds = options.seconds}, precision);
  });
  std::string text =
      heading(fmt::format("training, batch {}, Adam, {}", options.batch_size, network::to_text(precision)), pairs);
  if (has_rates) {
    text += fmt::format(
        "GFLOP/s of this machine: (a) multiply-adds in registers, {}: {:.0f}; (b) libtorch's 3x3 convolution: {:.0f}; "
        "(c) sgemm: {:.0f}\n",
        runtime::register_instructions(),
        registers,
        convolution,
        sgemm);
  }
  text += table_head(fmt::format("{:<12} {:>12}", "network", "Mien faces/s"),
                     "faces/s",
                     has_rates ? fmt::format(" {:>8} {:>6} {:>6} {:>6}", "GFLOP/s", "of (a)", "of (b)", "of (c)")
                               : fmt::format(" {:>8}", "GFLOP/s"));
  ordered_json json = facts(options, pairs.pytorch_version);
  json["precision"] = network::to_text(precision);
  json["pytorch_mode"] = options.pytorch_mode;
  if (has_rates) {
    json["register_gflops"] = registers;
    json["convolution_gflops"] = convolution;
    json["sgemm_gflops"] = sgemm;
  }
  for (const Pair& pair : pairs.rows) {
    const double gflops = median(pair.mien) * 3 * 2 * pair.multiply_adds * 1e-9;
    text += fmt::format(
        "{:<12} {:>12.0f}{} {:>8.0f}", pair.network, median(pair.mien), pytorch_cells(pair, "{:.0f}", true), gflops);
    if (has_rates) {
      for (const double rate : {registers, convolution, sgemm}) text += fmt::format(" {:>5.0f}%", 100 * gflops / rate);
    }
    text += "\n";
    ordered_json row = row_json(pair, true, "faces_per_second");
    row["gflops"] = gflops;
    json["networks"].push_back(std::move(row));
  }
  return {.text = text, .json = json.dump(2) + "\n"};
}

BenchReport bench_eval(const BenchOptions& options, int64_t faces, ProgressListener& listener) {
  const Pairs pairs = measure(options, "eval", faces, listener, [&](const network::Graph& graph) {
    return mien_evaluation_seconds(graph, random_faces(graph, faces), options.batch_size);
  });
  std::string text =
      heading(fmt::format("evaluation of {} faces, batch {}", with_commas(faces), options.batch_size), pairs);
  text += table_head(fmt::format("{:<12} {:>12}", "network", "Mien seconds"), "seconds");
  ordered_json json = facts(options, pairs.pytorch_version);
  json["faces"] = faces;
  for (const Pair& pair : pairs.rows) {
    text += fmt::format("{:<12} {:>12.2f}{}\n", pair.network, median(pair.mien), pytorch_cells(pair, "{:.2f}", false));
    json["networks"].push_back(row_json(pair, false, "seconds"));
  }
  return {.text = text, .json = json.dump(2) + "\n"};
}

BenchReport bench_latency(const BenchOptions& options, ProgressListener& listener) {
  std::vector<double> slow;  // 95th percentiles of the network being measured
  std::string current;
  const Pairs pairs = measure(options, "latency", 0, listener, [&](const network::Graph& graph) {
    std::vector<double> times = mien_latencies_ms(graph, options.seconds);
    std::sort(times.begin(), times.end());
    if (graph.name != current) {
      current = graph.name;
      slow.push_back(0);
    }
    slow.back() = std::max(slow.back(), times[times.size() * 95 / 100]);
    return median(times);
  });
  std::string text = heading("latency of one face", pairs);
  text += table_head(fmt::format("{:<12} {:>9} {:>9}", "network", "Mien ms", "Mien p95"), "ms");
  ordered_json json = facts(options, pairs.pytorch_version);
  json["batch_size"] = 1;
  for (size_t i = 0; i < pairs.rows.size(); ++i) {
    const Pair& pair = pairs.rows[i];
    text += fmt::format(
        "{:<12} {:>9.2f} {:>9.2f}{}\n", pair.network, median(pair.mien), slow[i], pytorch_cells(pair, "{:.2f}", false));
    ordered_json row = row_json(pair, false, "milliseconds");
    row["mien_milliseconds_95"] = slow[i];
    json["networks"].push_back(std::move(row));
  }
  return {.text = text, .json = json.dump(2) + "\n"};
}

BenchReport bench_memory(const BenchOptions& options, ProgressListener& listener) {
  Pairs pairs{.rows = {}, .pytorch_version = {}, .pytorch_mode = options.pytorch_mode};
  for (const std::string& name : options.networks) {
    if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
    listener.progress("bench memory", std::ssize(pairs.rows), static_cast<int64_t>(options.networks.size()), name);
    const network::Graph graph = network::load_graph(name);
    const ChildResult mien = run_child({sibling_program("mien-compute"),
                                        "bench",
                                        "train",
                                        "--networks",
                                        name,
                                        "--batch-size",
                                        std::to_string(options.batch_size),
                                        "--rounds",
                                        "1",
                                        "--seconds",
                                        "0.1",
                                        "--python",
                                        "",
                                        "--no-machine-rates",
                                        "--threads",
                                        std::to_string(at::get_num_threads())});
    if (!mien.succeeded)
      throw_failed(fmt::format("cannot measure the memory of {}: the process that trains it failed", name));
    Pair pair{.network = graph.name, .mien = {megabytes(mien.peak_memory_bytes)}, .pytorch = {}};
    for (const PytorchMemory memory : kPytorchMemories) {
      const PytorchAnswer answer = ask_pytorch(
          options.python, memory, "train", graph, options.batch_size, {.seconds = 0.1}, 0, options.pytorch_mode);
      if (!answer.succeeded) continue;
      pairs.pytorch_version = answer.version;
      pair.pytorch[memory] = {megabytes(answer.peak_memory_bytes)};
    }
    pairs.rows.push_back(std::move(pair));
  }
  std::string text =
      heading(fmt::format("peak memory of training, batch {} (largest resident set of a process of its own)",
                          options.batch_size),
              pairs);
  text += table_head(fmt::format("{:<12} {:>9}", "network", "Mien MB"), "MB");
  ordered_json json = facts(options, pairs.pytorch_version);
  for (const Pair& pair : pairs.rows) {
    text += fmt::format("{:<12} {:>9.0f}{}\n", pair.network, median(pair.mien), pytorch_cells(pair, "{:.0f}", false));
    json["networks"].push_back(row_json(pair, false, "megabytes"));
  }
  return {.text = text, .json = json.dump(2) + "\n"};
}

BenchReport bench_start(const BenchOptions& options, int64_t runs, ProgressListener& listener) {
  const auto time = [&](const std::vector<std::string>& words, bool must_succeed) {
    std::vector<double> times;
    for (int64_t run = 0; run <= runs; ++run) {
      if (listener.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
      const ChildResult child = run_child(words);
      if (child.seconds == 0 || (must_succeed && !child.succeeded)) return 0.0;
      if (run > 0) times.push_back(1e3 * child.seconds);  // the first start fills the file cache
    }
    return median(times);
  };
  const std::string mien = sibling_program("mien");
  listener.progress("bench start", 0, 3, "");
  const double help = time({mien, "--help"}, true);
  const double mistake = time({mien, "train", "--epoch", "3"}, false);
  const double torch = options.python.empty() ? 0 : time({options.python, "-c", "import torch"}, true);
  listener.progress("bench start", 3, 3, "");
  if (help == 0) throw_failed(fmt::format("cannot measure the start of {}: it does not run", mien));
  std::string text =
      fmt::format("start (median of {}): mien --help {:.1f} ms, a usage error {:.1f} ms", runs, help, mistake);
  if (torch > 0) text += fmt::format("; python -c 'import torch' {:.0f} ms", torch);
  return {.text = text + "\n",
          .json = ordered_json{{"runs", runs},
                               {"help_milliseconds", help},
                               {"usage_error_milliseconds", mistake},
                               {"import_torch_milliseconds", torch}}
                      .dump(2) +
                  "\n"};
}

BenchReport bench_all(const BenchOptions& options, ProgressListener& listener) {
  constexpr int64_t kTestFaces = 7178;
  constexpr int64_t kStarts = 11;
  ordered_json json;
  std::string text;
  const auto add = [&](const char* name, const BenchReport& part) {
    text += (text.empty() ? "" : "\n") + part.text;
    json[name] = ordered_json::parse(part.json);
    listener.line(part.text);
  };
  add("train", bench_train(options, listener));
  add("eval", bench_eval(options, kTestFaces, listener));
  add("latency", bench_latency(options, listener));
  add("memory", bench_memory(options, listener));
  add("start", bench_start(options, kStarts, listener));
  return {.text = text, .json = json.dump(2) + "\n"};
}

BenchReport bench_csv(const std::string& csv, const BenchOptions& options, ProgressListener& listener) {
  data::read_csv(csv, {}, silent_listener());  // warms the file cache, and says what is wrong with the file
  const double size = static_cast<double>(std::filesystem::file_size(csv)) * 1e-6;
  std::vector<double> times;
  for (int64_t round = 0; round < options.rounds; ++round) {
    const auto start = Clock::now();
    data::read_csv(csv, {}, silent_listener());
    times.push_back(seconds_since(start));
    listener.progress("bench csv", round + 1, options.rounds, "");
  }
  const double mien = median(times);
  double pandas = 0;
  if (!options.python.empty()) {
    const ChildResult child =
        run_child({options.python, "-c", bench_script("pandas_read"), std::filesystem::absolute(csv).string()});
    pandas = child.succeeded ? std::strtod(child.out.c_str(), nullptr) : 0;
  }
  std::string text = fmt::format("{:.1f} MB in {:.3f} s: {:.0f} MB/s", size, mien, size / mien);
  if (pandas > 0) text += fmt::format("; pandas + numpy {:.2f} s, {:.0f} times as long", pandas, pandas / mien);
  return {
      .text = text + "\n",
      .json = ordered_json{{"megabytes", size}, {"mien_seconds", mien}, {"pandas_seconds", pandas}}.dump(-1) + "\n"};
}

}  // namespace mien::benchmarks
