// The learning rate at points where it can be worked out by hand.
#include "mien/training/schedule.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace mien::training {
namespace {

constexpr double kRate = 0.4;
constexpr int64_t kEpochs = 20;

ScheduleOptions options_of(const std::string& name) {
  ScheduleOptions options;
  options.schedule = name;
  options.minimum_rate = 0.001;
  return options;
}

Schedule schedule_of(const std::string& name) { return Schedule(options_of(name), kRate, kEpochs); }

TEST(Schedule, ConstantNeverChanges) {
  const Schedule schedule = schedule_of("constant");
  for (const double epoch : {0.0, 0.5, 7.0, 19.99}) EXPECT_EQ(schedule.rate(epoch), kRate);
}

TEST(Schedule, StepCutsEveryDecayEpochs) {
  ScheduleOptions options = options_of("step");
  options.decay_epochs = 8;
  options.decay_rate = 0.25;
  const Schedule schedule(options, kRate, kEpochs);
  EXPECT_EQ(schedule.rate(0), kRate);
  EXPECT_EQ(schedule.rate(7.99), kRate);
  EXPECT_DOUBLE_EQ(schedule.rate(8), kRate * 0.25);
  EXPECT_DOUBLE_EQ(schedule.rate(16), kRate * 0.0625);
}

TEST(Schedule, ExponentialMultipliesOnceAnEpochDownToTheMinimum) {
  const Schedule schedule = schedule_of("exponential");
  EXPECT_EQ(schedule.rate(0.9), kRate);
  EXPECT_DOUBLE_EQ(schedule.rate(1), kRate / 2);
  EXPECT_DOUBLE_EQ(schedule.rate(3.5), kRate / 8);
  EXPECT_EQ(schedule.rate(19), 0.001);
}

TEST(Schedule, CosineFallsFromTheRateThroughTheMiddleToTheMinimum) {
  const Schedule schedule = schedule_of("cosine");
  EXPECT_DOUBLE_EQ(schedule.rate(0), kRate);
  EXPECT_NEAR(schedule.rate(10), (kRate + 0.001) / 2, 1e-12);
  EXPECT_NEAR(schedule.rate(5), 0.001 + (kRate - 0.001) * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_NEAR(schedule.rate(20), 0.001, 1e-12);
}

TEST(Schedule, OneCycleRisesFromATwentyFifthForThirtyPercentThenFalls) {
  const Schedule schedule = schedule_of("one-cycle");
  EXPECT_DOUBLE_EQ(schedule.rate(0), kRate / 25);
  EXPECT_NEAR(schedule.rate(3), (kRate / 25 + kRate) / 2, 1e-12);
  EXPECT_NEAR(schedule.rate(6), kRate, 1e-12);
  EXPECT_NEAR(schedule.rate(13), (kRate + 0.001) / 2, 1e-12);
  EXPECT_NEAR(schedule.rate(20), 0.001, 1e-12);
}

TEST(Schedule, PlateauCutsAfterMoreThanPatienceEpochsWithoutGain) {
  ScheduleOptions options = options_of("plateau");
  options.plateau_patience = 2;
  Schedule schedule(options, kRate, kEpochs);
  schedule.epoch_ended(1.0);
  schedule.epoch_ended(1.0);
  schedule.epoch_ended(1.1);
  EXPECT_EQ(schedule.rate(3), kRate);
  schedule.epoch_ended(1.2);  // the third without gain
  EXPECT_DOUBLE_EQ(schedule.rate(4), kRate / 2);
  schedule.epoch_ended(0.9);  // a gain starts the count again
  schedule.epoch_ended(0.95);
  schedule.epoch_ended(0.95);
  EXPECT_DOUBLE_EQ(schedule.rate(7), kRate / 2);
  schedule.epoch_ended(0.95);
  EXPECT_DOUBLE_EQ(schedule.rate(8), kRate / 4);
}

TEST(Schedule, PlateauTakesLessThanATenThousandthOrNaNForNoGain) {
  ScheduleOptions options = options_of("plateau");
  options.plateau_patience = 0;
  Schedule schedule(options, kRate, kEpochs);
  schedule.epoch_ended(1.0);
  schedule.epoch_ended(0.9998);
  EXPECT_EQ(schedule.rate(2), kRate);
  schedule.epoch_ended(0.99975);
  EXPECT_DOUBLE_EQ(schedule.rate(3), kRate / 2);
  schedule.epoch_ended(std::numeric_limits<double>::quiet_NaN());
  EXPECT_DOUBLE_EQ(schedule.rate(4), kRate / 4);
}

TEST(Schedule, PlateauStopsAtTheMinimum) {
  ScheduleOptions options = options_of("plateau");
  options.plateau_patience = 0;
  Schedule schedule(options, kRate, kEpochs);
  for (int i = 0; i < 30; ++i) schedule.epoch_ended(1.0);
  EXPECT_EQ(schedule.rate(15), 0.001);
}

TEST(Schedule, RestoredPlateauGoesOnAsTheOriginal) {
  ScheduleOptions options = options_of("plateau");
  options.plateau_patience = 1;
  Schedule original(options, kRate, kEpochs);
  for (const double loss : {1.0, 1.0, 1.0, 1.0}) original.epoch_ended(loss);
  Schedule restored(options, kRate, kEpochs);
  restored.restore(original.state());
  for (const double loss : {1.0, 0.5, 0.6, 0.7, 0.4, 0.4, 0.4}) {
    original.epoch_ended(loss);
    restored.epoch_ended(loss);
    EXPECT_EQ(restored.rate(5), original.rate(5));
  }
  EXPECT_DOUBLE_EQ(original.rate(5), kRate / 16);
}

TEST(Schedule, OtherSchedulesDoNotLookAtTheLoss) {
  for (const char* name : {"constant", "step", "cosine", "one-cycle", "exponential"}) {
    Schedule schedule = schedule_of(name);
    const double before = schedule.rate(7.5);
    for (int i = 0; i < 30; ++i) schedule.epoch_ended(1.0);
    EXPECT_EQ(schedule.rate(7.5), before) << name;
  }
}

TEST(Schedule, WarmUpRisesLinearlyToTheSchedule) {
  ScheduleOptions options = options_of("constant");
  options.warmup_epochs = 4;
  const Schedule schedule(options, kRate, kEpochs);
  EXPECT_GT(schedule.rate(0), 0);  // the first step is not lost
  EXPECT_LT(schedule.rate(0), kRate / 1000);
  EXPECT_NEAR(schedule.rate(1), kRate / 4, kRate * 1e-3);
  EXPECT_NEAR(schedule.rate(3), kRate * 3 / 4, kRate * 1e-3);
  EXPECT_LE(schedule.rate(3.9999), kRate * 1.0005);
  EXPECT_EQ(schedule.rate(4), kRate);
}

TEST(Schedule, CosineSpansTheEpochsAfterWarmUp) {
  ScheduleOptions options = options_of("cosine");
  options.warmup_epochs = 4;
  const Schedule schedule(options, kRate, kEpochs);
  EXPECT_DOUBLE_EQ(schedule.rate(4), kRate);
  EXPECT_NEAR(schedule.rate(12), (kRate + 0.001) / 2, 1e-12);
  EXPECT_NEAR(schedule.rate(20), 0.001, 1e-12);
}

TEST(Schedule, WarmUpOfAllEpochsRisesToTheHighestRate) {
  ScheduleOptions options = options_of("cosine");
  options.warmup_epochs = 50;  // more than there are
  const Schedule schedule(options, kRate, kEpochs);
  double last = 0;
  for (double epoch = 0; epoch < 20; epoch += 0.25) {
    EXPECT_GT(schedule.rate(epoch), last);
    last = schedule.rate(epoch);
  }
  EXPECT_NEAR(last, kRate * 19.75 / 20, kRate * 1e-3);
}

TEST(Schedule, MinimumAboveTheRateDoesNotRaiseIt) {
  for (const char* name : {"cosine", "one-cycle", "plateau", "exponential"}) {
    ScheduleOptions options = options_of(name);
    options.minimum_rate = 1;
    const Schedule schedule(options, kRate, kEpochs);
    for (const double epoch : {0.0, 6.0, 13.0, 20.0}) EXPECT_LE(schedule.rate(epoch), kRate) << name;
  }
}

}  // namespace
}  // namespace mien::training
