// A run that was stopped or killed and started again is the run that was not.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "training/trainer_testing.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mien/core/random.h"
#include "mien/training/checkpoint.h"

namespace mien::training {
namespace {

void add_augmentation(TrainingInput& input) {
  input.augment.flip = 0.5;
  input.augment.rotate = 10;
  input.augment.shift = 0.1;
  input.augment.mixup = 0.2;
}

/// Everything that a resumed run must remember: averaged weights, a schedule with state.
TrainingInput adam_with_average_and_plateau(const std::filesystem::path& folder) {
  TrainingInput input = input_in(folder);
  add_augmentation(input);
  input.options.optimizer.learning_rate = 0.02;
  input.options.optimizer.weight_decay = 1e-4;
  input.options.optimizer.ema_decay = 0.9;
  input.options.schedule.schedule = "plateau";
  input.options.schedule.plateau_patience = 0;
  input.options.loss.label_smoothing = 0.1;
  return input;
}

TrainingInput sgd_with_one_cycle(const std::filesystem::path& folder) {
  TrainingInput input = input_in(folder);
  add_augmentation(input);
  input.options.optimizer.optimizer = "sgd";
  input.options.optimizer.learning_rate = 0.05;
  input.options.optimizer.clip_grad = 1;
  input.options.schedule.schedule = "one-cycle";
  input.options.loop.normalize = "dataset";
  input.options.classes.balanced_sampling = true;
  return input;
}

TrainingInput bf16_where_the_processor_has_it(const std::filesystem::path& folder) {
  TrainingInput input = adam_with_average_and_plateau(folder);
  input.options.loop.precision = "auto";
  return input;
}

using MakeInput = TrainingInput (*)(const std::filesystem::path&);

class Resume : public testing::TestWithParam<MakeInput> {
 protected:
  TrainingInput input(const std::string& name) const { return GetParam()(folder_ / name); }
  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Training,
                         Resume,
                         testing::Values(adam_with_average_and_plateau,
                                         sgd_with_one_cycle,
                                         bf16_where_the_processor_has_it),
                         [](const auto& parameter) {
                           if (parameter.index == 2) return "Bf16";
                           return parameter.index == 0 ? "AdamAveragePlateau" : "SgdOneCycle";
                         });

TEST_P(Resume, RunStoppedBetweenEpochsEndsAsTheUninterruptedOne) {
  const TrainingResult whole = train(small_network(), input("whole"));
  EXPECT_FALSE(whole.resumed);
  EXPECT_EQ(whole.stop_reason, StopReason::completed);

  Witness witness;
  witness.stop_after_epoch = 2;
  const TrainingResult half = train(small_network(), input("parts"), witness);
  EXPECT_EQ(half.stop_reason, StopReason::interrupted);
  EXPECT_EQ(half.history.size(), 2U);
  EXPECT_EQ(witness.steps, 8);

  Witness second;
  const TrainingResult rest = train(small_network(), input("parts"), second);
  EXPECT_TRUE(rest.resumed);
  EXPECT_EQ(rest.stop_reason, StopReason::completed);
  EXPECT_EQ(second.steps, 8);  // two epochs, not four
  EXPECT_EQ(second.first_batches, 0);
  EXPECT_EQ(rest.best_epoch, whole.best_epoch);
  ASSERT_EQ(rest.history.size(), 4U);
  EXPECT_GT(rest.seconds, half.seconds);
  expect_same_outcome(folder_ / "parts", folder_ / "whole");
}

TEST_P(Resume, RunStoppedInTheMiddleOfEveryEpochEndsAsTheUninterruptedOne) {
  train(small_network(), input("whole"));
  for (int64_t epoch = 1; epoch <= 4; ++epoch) {
    Witness witness;
    witness.stop_at_step = epoch == 1 ? 2 : 4 + epoch - 1;  // after the epoch the start before was stopped in
    const TrainingResult part = train(small_network(), input("parts"), witness);
    EXPECT_EQ(part.stop_reason, StopReason::interrupted);
    EXPECT_EQ(static_cast<int64_t>(part.history.size()), epoch - 1);
  }
  // The weights that a start begins with do not matter once there is a checkpoint.
  EXPECT_EQ(train(small_network(99), input("parts")).history.size(), 4U);
  expect_same_outcome(folder_ / "parts", folder_ / "whole");
}

/// What a killed start of RunKilledAtAnyMoment... is: this program again, because a copy of a process (fork) has none
/// of the threads that libtorch counts on.
TEST(ResumeChild, DISABLED_TrainsInTheFolderOfItsEnvironment) {
  const char* const folder = std::getenv("MIEN_RESUME_FOLDER");
  ASSERT_NE(folder, nullptr);
  const bool is_sgd = std::string(std::getenv("MIEN_RESUME_RULE")) == "sgd";
  train(small_network(), is_sgd ? sgd_with_one_cycle(folder) : adam_with_average_and_plateau(folder));
}

pid_t start_child(const std::filesystem::path& folder, bool is_sgd) {
  ::setenv("MIEN_RESUME_FOLDER", folder.c_str(), 1);
  ::setenv("MIEN_RESUME_RULE", is_sgd ? "sgd" : "adam", 1);
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
  ::execl("/proc/self/exe",
          "training_tests",
          "--gtest_also_run_disabled_tests",
          "--gtest_filter=ResumeChild.*",
          static_cast<char*>(nullptr));
  ::_exit(127);
}

TEST_P(Resume, RunKilledAtAnyMomentEndsAsTheUninterruptedOne) {
  const bool is_sgd = GetParam() == sgd_with_one_cycle;
  const auto start = std::chrono::steady_clock::now();
  int status = 0;
  ASSERT_GT(::waitpid(start_child(folder_ / "whole", is_sgd), &status, 0), 0);
  ASSERT_EQ(status, 0);
  const std::chrono::duration<double> length = std::chrono::steady_clock::now() - start;
  RandomStream moments(1, "moments to kill at");
  int kills = 0;
  for (int run = 0; run < 2; ++run) {
    const std::string name = "killed" + std::to_string(run);
    int starts = 0;
    while (true) {
      ASSERT_LT(++starts, 100);
      const pid_t child = start_child(folder_ / name, is_sgd);
      ASSERT_GT(child, 0);
      // From the third start on it may run to its end, so that slow machines get there too.
      const double longest = starts <= 3 ? 1.0 : 2.0 * starts;
      std::this_thread::sleep_for(length * moments.uniform(0.2, longest));
      ::kill(child, SIGKILL);
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0) << "a start after a kill failed";
        break;
      }
      ++kills;
    }
    expect_same_outcome(folder_ / name, folder_ / "whole");
  }
  EXPECT_GE(kills, 2);
}

TEST_P(Resume, RunKilledBetweenItsCheckpointAndItsWeightsEndsAsTheUninterruptedOne) {
  train(small_network(), input("whole"));
  for (int64_t epochs = 1; epochs <= 4; ++epochs) {
    const std::string name = "after" + std::to_string(epochs);
    Witness before;
    before.stop_after_epoch = epochs;
    train(small_network(), input(name), before);
    const auto file = checkpoint_in(folder_ / name);
    const std::string later = read_text(file);
    std::filesystem::remove_all(folder_ / name);
    if (epochs > 1) {
      Witness earlier;
      earlier.stop_after_epoch = epochs - 1;
      train(small_network(), input(name), earlier);
    }
    write_atomic(file, later);  // the weights are those of the epoch before
    Witness heard;
    const TrainingResult result = train(small_network(99), input(name), heard);
    EXPECT_EQ(heard.resumed_with, epochs);
    EXPECT_EQ(result.history.size(), 4U);
    expect_same_outcome(folder_ / name, folder_ / "whole");
  }
}

TEST_P(Resume, RunWhoseDiskWasFullGoesOnWhereItCouldWrite) {
  train(small_network(), input("whole"));
  TrainingInput full = input("full");
  Witness witness;
  witness.stop_after_epoch = 2;
  train(small_network(), full, witness);
  {
    const FileSizeLimit limit(1000);
    error_line(ErrorCode::failed, [&] { train(small_network(), full); });
  }
  train(small_network(), full);
  expect_same_outcome(folder_ / "full", folder_ / "whole");
}

TEST(Checkpoint, OfOtherOptionsRowsOrSeedIsRefused) {
  const TemporaryFolder folder;
  TrainingInput base = input_in(folder.path());
  base.options.loop.epochs = 1;
  train(small_network(), base);
  const std::string before = read_text(checkpoint_in(folder.path()));

  const auto refuses = [&](const char* what, auto change) {
    TrainingInput other = base;
    change(other);
    const std::string line = error_line(ErrorCode::usage, [&] { train(small_network(), other); });
    EXPECT_TRUE(contains(line, "cannot resume from " + folder.path().string())) << what;
    EXPECT_TRUE(contains(line, "other options or data")) << what;
    EXPECT_TRUE(contains(line, "--name")) << what;
  };
  refuses("learning rate", [](TrainingInput& input) { input.options.optimizer.learning_rate = 2e-3; });
  refuses("rule", [](TrainingInput& input) { input.options.optimizer.optimizer = "sgd"; });
  refuses("average", [](TrainingInput& input) { input.options.optimizer.ema_decay = 0.9; });
  refuses("seed", [](TrainingInput& input) { input.options.loop.seed = 1; });
  refuses("augmentation", [](TrainingInput& input) { input.augment.flip = 0.5; });
  refuses("training rows", [](TrainingInput& input) { input.training_rows.pop_back(); });
  refuses("validation rows", [](TrainingInput& input) { input.validation_rows.pop_back(); });
  data::Dataset soft = faces();
  soft.label_distribution.assign(static_cast<size_t>(soft.size() * 7), 1.0F / 7);
  refuses("soft labels", [&](TrainingInput& input) { input.dataset = &soft; });
  EXPECT_TRUE(read_text(checkpoint_in(folder.path())) == before);
}

TEST(Checkpoint, OfAnotherNetworkIsRefused) {
  const TemporaryFolder folder;
  train(small_network(), input_in(folder.path()));
  error_line(ErrorCode::usage, [&] { train(plain_network(), input_in(folder.path())); });
}

TEST(Checkpoint, LetsARunGoOnForMoreEpochs) {
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder / "six");
  input.options.loop.epochs = 6;
  train(small_network(), input);
  train(small_network(), input_in(folder / "four and two"));
  input.folder = folder / "four and two";
  const TrainingResult result = train(small_network(), input);
  EXPECT_TRUE(result.resumed);
  EXPECT_EQ(result.history.size(), 6U);
  expect_same_outcome(folder / "four and two", folder / "six");
}

TEST(Checkpoint, IsRefusedForOtherEpochsWhereTheScheduleLooksAtTheEnd) {
  for (const char* schedule : {"cosine", "one-cycle"}) {
    const TemporaryFolder folder;
    TrainingInput input = input_in(folder.path());
    input.options.schedule.schedule = schedule;
    input.options.loop.epochs = 2;
    train(plain_network(), input);
    input.options.loop.epochs = 3;
    error_line(ErrorCode::usage, [&] { train(plain_network(), input); });
  }
}

TEST(Checkpoint, OfAFinishedRunNeedsNoStep) {
  const TemporaryFolder folder;
  const TrainingResult first = train(small_network(), input_in(folder.path()));
  Witness witness;
  const TrainingResult again = train(small_network(99), input_in(folder.path()), witness);
  EXPECT_EQ(witness.steps, 0);
  EXPECT_EQ(again.history.size(), 4U);
  EXPECT_EQ(again.best_epoch, first.best_epoch);
  EXPECT_EQ(again.faces_per_second, 0);
  EXPECT_EQ(largest_difference(again.best.tensor("dense2.weight"), first.best.tensor("dense2.weight")), 0);
}

TEST(Checkpoint, OfARunThatIsOverIsSmallAndGivesTheSameResult) {
  const TemporaryFolder folder;
  const TrainingResult first = train(small_network(), input_in(folder.path()));
  const auto before = std::filesystem::file_size(checkpoint_in(folder.path()));
  finish_checkpoint(folder.path());
  EXPECT_LT(std::filesystem::file_size(checkpoint_in(folder.path())), std::min<uintmax_t>(before / 4, 4096));
  Witness witness;
  const TrainingResult again = train(small_network(99), input_in(folder.path()), witness);
  EXPECT_EQ(witness.steps, 0);
  EXPECT_EQ(again.history.size(), 4U);
  EXPECT_EQ(again.stop_reason, StopReason::completed);
  EXPECT_EQ(largest_difference(again.best.tensor("dense2.weight"), first.best.tensor("dense2.weight")), 0);
  TrainingInput other = input_in(folder.path());
  other.options.loop.seed = 1;
  error_line(ErrorCode::usage, [&] { train(small_network(), other); });
}

TEST(Checkpoint, IsOfThePrecisionThatItsStepsWereTakenIn) {
  if (resolve_precision({.precision = "auto"}) == network::Precision::float32) GTEST_SKIP() << "no bf16 here";
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.options.loop.precision = "bf16";
  const TrainingResult first = train(small_network(), input);
  input.options.loop.precision = "float32";
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [&] { train(small_network(), input); }), "other options"));
  input.options.loop.precision = "auto";  // the same, on this processor
  const TrainingResult again = train(small_network(99), input);
  EXPECT_EQ(largest_difference(again.best.tensor("dense2.weight"), first.best.tensor("dense2.weight")), 0);
}

TEST(Precision, Bf16IsRefusedWhereLayersAreNotFusedAndAutoIsFloat32There) {
  EXPECT_EQ(resolve_precision({.fuse = false, .precision = "auto"}), network::Precision::float32);
  EXPECT_TRUE(contains(error_line(ErrorCode::usage, [] { resolve_precision({.fuse = false, .precision = "bf16"}); }),
                       "--precision bf16 is for fused layers on the CPU"));
}

TEST(Checkpoint, TellsABitOfATensorThatHasChanged) {
  const TemporaryFolder folder;
  train(small_network(), input_in(folder.path()));
  const std::filesystem::path file = checkpoint_in(folder.path());
  std::string bytes = read_text(file);
  bytes[bytes.size() - 10] ^= 1;
  write_atomic(file, bytes);
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { train(small_network(), input_in(folder.path())); }),
                       "its tensors are damaged"));
}

TEST(Checkpoint, OfOtherThreadsOrKernelsWarnsThatRoundingDiffers) {
  struct Listener final : ProgressListener {
    void line(std::string_view) override {}
    void warning(std::string_view text) override { warnings += text; }
    void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
    std::string warnings;
  };
  const TemporaryFolder folder;
  TrainingInput input = input_in(folder.path());
  input.numerics = {{"threads", "4"}, {"BLAS kernels", "Haswell"}};
  Witness witness;
  witness.stop_after_epoch = 1;
  train(small_network(), input, witness);
  TrainingObserver observer;
  witness.stop_after_epoch = 2;
  train(small_network(), input, witness);  // the same: a witness fails when it is warned
  input.numerics["threads"] = "2";
  Listener other;
  train(small_network(), input, other, observer);
  EXPECT_TRUE(contains(other.warnings, "threads 2 instead of 4"));
  EXPECT_FALSE(contains(other.warnings, "Haswell"));
}

TEST(Checkpoint, OfWeightsThatAreNotItsBestEpochsIsRefused) {
  const TemporaryFolder folder;
  train(small_network(), input_in(folder.path()));
  const auto best = folder / "weights/best.safetensors";
  network::LoadedWeights loaded = network::load_weights(best);
  loaded.info.extra["mien.epoch"] = "77";
  network::save_weights(best, loaded.network, loaded.info);
  finish_checkpoint(folder.path());
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { train(small_network(), input_in(folder.path())); }),
                       "is of epoch 77"));
}

TEST(Checkpoint, ThatIsDamagedIsNamedAndKept) {
  const TemporaryFolder folder;
  train(small_network(), input_in(folder.path()));
  const std::filesystem::path file = checkpoint_in(folder.path());
  const std::string good = read_text(file);
  const auto refuses = [&](const std::string& bytes, const std::string& reason) {
    write_atomic(file, bytes);
    const std::string line = error_line(ErrorCode::bad_data, [&] { train(small_network(), input_in(folder.path())); });
    EXPECT_TRUE(contains(line, file.string()));
    EXPECT_TRUE(contains(line, reason));
    EXPECT_TRUE(read_text(file) == bytes) << "the damaged file was changed";
  };
  for (const size_t size : {size_t{0}, size_t{5}, size_t{300}, good.size() / 2, good.size() - 1}) {
    refuses(good.substr(0, size), "");
  }
  refuses(read_text(folder / "weights/last.safetensors"), "not a checkpoint of mien");
  std::string other_name = good;
  const size_t place = other_name.find("optimizer.first.dense1.weight");
  ASSERT_NE(place, std::string::npos);
  other_name[place] = 'X';
  refuses(other_name, "optimizer.first.dense1.weight is missing");
  std::string bad_state = good;
  const size_t key = bad_state.find("epochs_done");
  ASSERT_NE(key, std::string::npos);
  bad_state[key] = 'X';
  refuses(bad_state, "its state is damaged");

  write_atomic(file, good);
  EXPECT_TRUE(train(small_network(), input_in(folder.path())).resumed);
}

TEST(Checkpoint, KeepsEveryNumberOfTheStateToTheBit) {
  const TemporaryFolder folder;
  const at::Tensor values = random_normal({3, 4}, 1);
  TrainingState state{.fingerprint = "abc",
                      .epochs_done = 7,
                      .optimizer_steps = int64_t{1} << 40,
                      .best_epoch = 5,
                      .best_accuracy = 0.1 + 0.2,
                      .best_loss = std::numeric_limits<double>::quiet_NaN(),
                      .first_epoch_loss = 1.0 / 3,
                      .seconds = 1e-300};
  state.schedule = {.factor = 0.3, .best_loss = std::numeric_limits<double>::infinity(), .epochs_without_gain = 2};
  state.history = {{.epoch = 1, .train_loss = 2.0 / 3, .validation_loss = -0.0, .learning_rate = 1e-7, .seconds = 0.7}};
  save_checkpoint(folder / "state.safetensors", state, {{"values", values}});

  const at::Tensor target = at::zeros({3, 4});
  const auto loaded = load_checkpoint(folder / "state.safetensors", "abc", {{"values", target}});
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(largest_difference(target, values), 0);
  EXPECT_EQ(loaded->epochs_done, 7);
  EXPECT_EQ(loaded->optimizer_steps, int64_t{1} << 40);
  EXPECT_EQ(loaded->best_epoch, 5);
  EXPECT_EQ(loaded->best_accuracy, state.best_accuracy);
  EXPECT_TRUE(std::isnan(loaded->best_loss));
  EXPECT_EQ(loaded->first_epoch_loss, state.first_epoch_loss);
  EXPECT_EQ(loaded->seconds, 1e-300);
  EXPECT_EQ(loaded->schedule.factor, 0.3);
  EXPECT_EQ(loaded->schedule.best_loss, std::numeric_limits<double>::infinity());
  EXPECT_EQ(loaded->schedule.epochs_without_gain, 2);
  ASSERT_EQ(loaded->history.size(), 1U);
  EXPECT_EQ(loaded->history[0].train_loss, 2.0 / 3);
  EXPECT_TRUE(std::signbit(loaded->history[0].validation_loss));
  EXPECT_EQ(loaded->history[0].learning_rate, 1e-7);
  EXPECT_EQ(loaded->history[0].seconds, 0.7);
  EXPECT_FALSE(load_checkpoint(folder / "absent", "abc", {}).has_value());
}

}  // namespace
}  // namespace mien::training
