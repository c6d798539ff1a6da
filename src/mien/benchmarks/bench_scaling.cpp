#include "mien/benchmarks/bench_scaling.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <regex>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/benchmarks/bench_rounds.h"
#include "mien/benchmarks/bench_task.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/parallel.h"
#include "mien/network/network.h"
#include "mien/report/canvas.h"
#include "mien/report/plots.h"
#include "mien/runtime/environment.h"
#include "mien/training/batch_queue.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::benchmarks {

network::Graph with_side(const network::Graph& graph, int64_t side) {
  static const std::regex kInput(R"(input\s*=\s*\[[^\]]*\])");
  const std::string input = fmt::format("input = [{}, {}, {}]", graph.input_shape().channels, side, side);
  return network::parse_graph(std::regex_replace(graph.toml, kInput, input),
                              fmt::format("{} at side {}", graph.name, side));
}

network::Graph with_width(const network::Graph& graph, double factor) {
  static const std::regex kWidth(R"((conv|dense)\s*=\s*([0-9]+))");
  const std::string& toml = graph.toml;
  std::vector<std::smatch> found{std::sregex_iterator(toml.begin(), toml.end(), kWidth), std::sregex_iterator()};
  std::string text;
  auto at = toml.begin();
  for (size_t i = 0; i + 1 < found.size(); ++i) {
    const auto width = std::max<int64_t>(1, std::llround(factor * std::stod(found[i].str(2))));
    text.append(at, found[i][2].first);
    text += std::to_string(width);
    at = found[i][2].second;
  }
  text.append(at, toml.end());
  return network::parse_graph(text, fmt::format("{} times {}", graph.name, factor));
}

Line fit_line(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xx = 0;
  double xy = 0;
  double yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  const double slope = xy / xx;
  return {.intercept = mean_y - slope * mean_x, .slope = slope, .r_squared = yy > 0 ? xy * xy / (xx * yy) : 1};
}

namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

/// What is measured against one quantity.
struct Series {
  std::string name;  ///< of the file, and what is varied
  std::string x_label;
  std::string y_label;
  std::vector<double> x;
  std::vector<double> mien;
  std::map<PytorchMemory, std::vector<double>> pytorch;  ///< NaN where it was not measured; empty where never
  int64_t batch_size = 0;                                ///< 0 where it is varied
};

/// Seconds of one epoch over `faces` faces, batches made from bytes as in training.
double epoch_seconds(const network::Graph& graph, const data::Dataset& faces, int64_t batch_size) {
  network::Network network(graph, 0);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const training::BatchBuilder batches(faces, {}, {}, 0, 0);
  const std::vector<int64_t> order = first_rows(faces.size());
  std::vector<training::BatchRange> ranges;
  for (int64_t begin = 0; begin + 1 < faces.size(); begin += batch_size)
    ranges.push_back({begin, std::min(begin + batch_size, faces.size())});
  const auto run = [&](size_t steps) {
    training::BatchQueue queue(batches, order, ranges, 1);
    const auto start = Clock::now();
    for (size_t step = 0; step < steps; ++step) {
      const training::Batch batch = queue.next();
      training::cross_entropy(network.forward(batch.images, network::Mode::training), batch.targets).backward();
      optimizer.step(1e-3);
      optimizer.zero_grad();
    }
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  run(std::min<size_t>(2, ranges.size()));
  return run(ranges.size());
}

class Scaling {
 public:
  Scaling(const std::string& network,
          const BenchOptions& options,
          const ScalingOptions& scaling,
          ProgressListener& listener)
      : graph_(network::load_graph(network)), options_(options), scaling_(scaling), listener_(listener) {}

  BenchReport run() {
    for (const std::string& by : scaling_.by) {
      if (by == "batch") over_batches();
      if (by == "threads") over_threads();
      if (by == "side") over_sides();
      if (by == "width") over_widths();
      if (by == "data") over_data();
    }
    return {.text = text_, .json = json_.dump(2) + "\n"};
  }

 private:
  /// A point that cannot be measured (a batch of one face has no batch statistics) is left out.
  void add(Series& series, double x, const network::Graph& graph, int64_t batch_size) {
    if (listener_.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
    listener_.progress("bench scaling by " + series.name,
                       static_cast<int64_t>(series.x.size()),
                       static_cast<int64_t>(series.x.size()) + 1,
                       fmt::format("{}", x));
    // A step of the largest points takes longer than the time for all steps.
    const StepBudget budget{.seconds = scaling_.seconds, .warm_up = 1, .least = 1};
    double rate = 0;
    try {
      rate = mien_training_rate(graph, batch_size, budget);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::usage) throw;
      listener_.line(fmt::format("{} {}: {}", series.name, x, error.what()));
      return;
    }
    series.x.push_back(x);
    series.mien.push_back(rate);
    if (!scaling_.pytorch || options_.python.empty()) return;
    for (const PytorchMemory memory : kPytorchMemories) {
      const PytorchAnswer answer = ask_pytorch(options_.python, memory, "train", graph, batch_size, budget);
      series.pytorch[memory].push_back(answer.succeeded ? answer.value : std::nan(""));
    }
  }

  void over_batches() {
    Series series{.name = "batch", .x_label = "batch size (faces)", .y_label = "training (faces/s)"};
    for (int64_t batch = 1; batch <= scaling_.most; batch *= 2) add(series, static_cast<double>(batch), graph_, batch);
    finish(series);
  }

  void over_threads() {
    Series series{.name = "threads", .x_label = "threads", .y_label = "training (faces/s)"};
    series.batch_size = options_.batch_size;
    const int all = threads();
    for (int count = 1; count <= all; count = count < all ? std::min(2 * count, all) : count + 1) {
      runtime::configure_threads(count);
      add(series, count, graph_, options_.batch_size);
    }
    runtime::configure_threads(all);
    finish(series);
  }

  void over_sides() {
    Series series{.name = "side", .x_label = "image side (pixels)", .y_label = "training (faces/s)"};
    // At side 192 a batch of 128 would take 16 times the memory that training takes.
    series.batch_size = std::min<int64_t>(options_.batch_size, 32);
    for (const int64_t side : {48, 96, 192})
      add(series, static_cast<double>(side), with_side(graph_, side), series.batch_size);
    finish(series);
  }

  void over_widths() {
    Series series{.name = "width", .x_label = "width multiplier", .y_label = "training (faces/s)"};
    series.batch_size = options_.batch_size;
    for (const double factor : {0.25, 0.5, 1.0, 2.0, 4.0})
      add(series, factor, with_width(graph_, factor), options_.batch_size);
    finish(series);
  }

  void over_data() {
    Series series{.name = "data", .x_label = "training faces", .y_label = "epoch (s)"};
    series.batch_size = options_.batch_size;
    // The same number of faces would take very different times in different networks.
    const double rate =
        mien_training_rate(graph_, options_.batch_size, {.seconds = scaling_.seconds, .warm_up = 1, .least = 1});
    const auto unit =
        std::max<int64_t>(2, std::llround(rate * scaling_.seconds / static_cast<double>(options_.batch_size)) / 2) *
        options_.batch_size;
    for (const int64_t factor : {1, 2, 3, 4, 6, 8}) {
      if (listener_.stop_requested()) throw Error(ErrorCode::interrupted, "stopped while measuring");
      const data::Dataset faces = random_faces(graph_, factor * unit);
      series.x.push_back(static_cast<double>(faces.size()));
      series.mien.push_back(epoch_seconds(graph_, faces, options_.batch_size));
    }
    const Line line = fit_line(series.x, series.mien);
    finish(series,
           fmt::format("epoch = {:.3f} s + {:.4g} s a thousand faces, R^2 = {:.5f}",
                       line.intercept,
                       1e3 * line.slope,
                       line.r_squared),
           line);
    json_["data_line"] = {
        {"intercept_seconds", line.intercept}, {"seconds_per_face", line.slope}, {"r_squared", line.r_squared}};
  }

  void finish(const Series& series, const std::string& remark = {}, const std::optional<Line>& line = {}) {
    const auto measured = [](const std::vector<double>& values) {
      return std::any_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
    };
    std::map<PytorchMemory, std::vector<double>> pytorch;
    for (const auto& [memory, values] : series.pytorch) {
      if (measured(values)) pytorch.emplace(memory, values);
    }
    std::string setting = graph_.name;
    if (series.batch_size > 0) setting += fmt::format(", batch {}", series.batch_size);
    if (series.name != "threads") {
      setting += fmt::format(", {} thread{}", at::get_num_threads(), at::get_num_threads() == 1 ? "" : "s");
    }
    std::string csv = series.name + ",mien";
    text_ += fmt::format("{}{} against {}: {}\n", text_.empty() ? "" : "\n", series.y_label, series.x_label, setting);
    text_ += fmt::format("{:>8} {:>10}", series.name, "Mien");
    for (const auto& [memory, values] : pytorch) {
      csv += "," + json_key(memory);
      text_ += fmt::format("  {:>27} {:>6}", "PyTorch " + to_text(memory), "ratio");
    }
    csv += "\n";
    text_ += "\n";
    for (size_t i = 0; i < series.x.size(); ++i) {
      csv += fmt::format("{},{}", series.x[i], series.mien[i]);
      text_ += fmt::format("{:>8} {:>10.4g}", series.x[i], series.mien[i]);
      ordered_json point{{"x", series.x[i]}, {"mien", series.mien[i]}};
      for (const auto& [memory, values] : pytorch) {
        csv += std::isfinite(values[i]) ? fmt::format(",{}", values[i]) : ",";
        text_ += std::isfinite(values[i]) ? fmt::format("  {:>27.4g} {:>6.2f}", values[i], series.mien[i] / values[i])
                                          : fmt::format("  {:>27} {:>6}", "-", "-");
        point[json_key(memory)] = values[i];
      }
      csv += "\n";
      text_ += "\n";
      json_[series.name].push_back(std::move(point));
    }
    if (!remark.empty()) text_ += remark + "\n";
    const auto stem = std::filesystem::path(scaling_.out) / fmt::format("{}-{}", graph_.name, series.name);
    write_atomic(stem.string() + ".csv", csv);
    if (!report::can_draw() || series.x.empty()) return;
    std::vector<report::NamedCurve> curves{{"Mien", series.x, series.mien}};
    for (const auto& [memory, values] : pytorch) curves.push_back({"PyTorch " + to_text(memory), series.x, values});
    const std::filesystem::path picture = stem.string() + ".png";
    if (line) {
      std::vector<double> fitted;
      for (const double x : series.x) fitted.push_back(line->intercept + line->slope * x);
      curves.push_back({remark, series.x, fitted, report::CurveKind::line});
    }
    report::plot_scaling(picture,
                         curves,
                         series.x_label,
                         series.y_label,
                         setting,
                         line ? report::Axes::linear : report::Axes::logarithmic);
  }

  network::Graph graph_;
  const BenchOptions& options_;
  const ScalingOptions& scaling_;
  ProgressListener& listener_;
  std::string text_;
  ordered_json json_;
};

}  // namespace

void ScalingOptions::bind(OptionSet& options) {
  options.group("scaling");
  options.add(&by, {.name = "by", .help = "what is varied: batch, threads, side, width, data"});
  options.add(&out, {.name = "out", .help = "folder that csv files and plots are written into"});
  options.add(&seconds,
              {.name = "seconds",
               .help = "time of each point and program",
               .unit = "seconds",
               .minimum = 0.01,
               .maximum = 600});
  options.add(&pytorch, {.name = "with-pytorch", .help = "measure PyTorch at every point, too"});
  options.add(&most,
              {.name = "largest-batch",
               .help = "batch sizes go up to this one",
               .unit = "faces",
               .minimum = 1,
               .maximum = 65536});
}

BenchReport bench_scaling(const std::string& network,
                          const BenchOptions& options,
                          const ScalingOptions& scaling,
                          ProgressListener& listener) {
  for (const std::string& by : scaling.by) {
    const std::vector<std::string> known{"batch", "threads", "side", "width", "data"};
    if (std::find(known.begin(), known.end(), by) == known.end())
      throw_usage(fmt::format("--by: {} is none of batch, threads, side, width, data", by));
  }
  return Scaling(network, options, scaling, listener).run();
}

}  // namespace mien::benchmarks
