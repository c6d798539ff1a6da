#include "mien/cli/bench_commands.h"

#include "mien/benchmarks/bench_task.h"

namespace mien::cli {
namespace {

/// A bench that needs no words of its own.
template <class Self>
class BenchCommand : public ComputingCommand<Self> {
 public:
  void bind(OptionSet& options) override { bench_.bind(options); }
  int compute(const Call& call) {
    const benchmarks::BenchReport report = static_cast<Self*>(this)->measure(call.terminal);
    call.terminal.result(report.text, report.json);
    return 0;
  }

 protected:
  benchmarks::BenchOptions bench_;
};

class BenchTrainCommand final : public BenchCommand<BenchTrainCommand> {
 public:
  void bind(OptionSet& options) override {
    BenchCommand::bind(options);
    options.add(
        &bench_.machine_rates,
        {.name = "machine-rates", .help = "measure what the machine computes at most, too, and give shares of it"});
    options.add(
        &bench_.precision,
        {.name = "precision",
         .help = "what Mien's steps keep and multiply; auto is bf16 on a processor with AVX512-BF16, else float32",
         .choices = {"float32", "bf16", "auto"}});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_train(bench_, listener); }
};

class BenchEvalCommand final : public BenchCommand<BenchEvalCommand> {
 public:
  void bind(OptionSet& options) override {
    BenchCommand::bind(options);
    options.add(&faces_,
                {.name = "faces",
                 .help = "number of faces; FER2013 has 7,178 that are not for training",
                 .minimum = 1,
                 .maximum = 1e7});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_eval(bench_, faces_, listener);
  }

 private:
  int64_t faces_ = 7178;
};

class BenchLatencyCommand final : public BenchCommand<BenchLatencyCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_latency(bench_, listener); }
};

class BenchMemoryCommand final : public BenchCommand<BenchMemoryCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_memory(bench_, listener); }
};

class BenchStartCommand final : public BenchCommand<BenchStartCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("bench");
    options.add(&runs_, {.name = "runs", .help = "starts of each program", .minimum = 1, .maximum = 1000});
    options.add(&bench_.python,
                {.name = "python", .help = "Python that has PyTorch; an empty text leaves the comparison out"});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_start(bench_, runs_, listener);
  }

 private:
  int64_t runs_ = 11;
};

class BenchExplainCommand final : public BenchCommand<BenchExplainCommand> {
 public:
  void bind(OptionSet& options) override {
    options.group("bench");
    options.add(&bench_.rounds,
                {.name = "rounds", .help = "times that everything is measured", .minimum = 1, .maximum = 100});
    options.add(
        &bench_.threads,
        {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
    options.add(&faces_,
                {.name = "faces",
                 .help = "faces for Grad-CAM; FER2013 has 7,178 that are not for training",
                 .minimum = 16,
                 .maximum = 1e6});
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_explain(bench_, faces_, listener);
  }

 private:
  int64_t faces_ = 1024;
};

class BenchAllCommand final : public BenchCommand<BenchAllCommand> {
 public:
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_all(bench_, listener); }
};

class BenchScalingCommand final : public BenchCommand<BenchScalingCommand> {
 public:
  void bind(OptionSet& options) override {
    scaling_.bind(options);
    options.add(&bench_.batch_size,
                {.name = "batch-size",
                 .help = "faces per step where the batch is not what is varied",
                 .minimum = 2,
                 .maximum = 65536});
    options.add(&bench_.python, {.name = "python", .help = "Python that has PyTorch"});
    options.add(&bench_.threads,
                {.name = "threads",
                 .help = "threads where they are not what is varied, and the most of them; 0 takes all cores",
                 .minimum = 0,
                 .maximum = 1024});
  }
  std::vector<Positional> positionals() override {
    return {{"network", "a built-in network or the path of a network file", &network_}};
  }
  benchmarks::BenchReport measure(ProgressListener& listener) {
    return benchmarks::bench_scaling(network_, bench_, scaling_, listener);
  }

 private:
  std::string network_;
  benchmarks::ScalingOptions scaling_;
};

class BenchCsvCommand final : public BenchCommand<BenchCsvCommand> {
 public:
  std::vector<Positional> positionals() override { return {{"csv", "a csv of faces", &csv_}}; }
  benchmarks::BenchReport measure(ProgressListener& listener) { return benchmarks::bench_csv(csv_, bench_, listener); }

 private:
  std::string csv_;
};

template <class T>
CommandSpec command(const char* name, const char* summary) {
  return {name, "Measuring", summary, [] { return std::make_unique<T>(); }};
}

}  // namespace

std::vector<CommandSpec> bench_commands() {
  return {
      command<BenchAllCommand>("bench all", "training, evaluation, latency, memory and start beside PyTorch"),
      command<BenchTrainCommand>("bench train", "faces/s of training beside PyTorch, in one run"),
      command<BenchEvalCommand>("bench eval", "seconds to evaluate a test set beside PyTorch"),
      command<BenchLatencyCommand>("bench latency", "milliseconds for one face beside PyTorch"),
      command<BenchMemoryCommand>("bench memory", "peak memory of training beside PyTorch"),
      command<BenchStartCommand>("bench start", "milliseconds that the program takes to start"),
      command<BenchExplainCommand>("bench explain", "seconds of explanations beside bare passes and a plain loop"),
      command<BenchScalingCommand>("bench scaling", "how the cost grows with batch, threads, image, width and data"),
      command<BenchCsvCommand>("bench csv", "MB/s of reading a csv beside pandas + numpy")};
}

}  // namespace mien::cli
