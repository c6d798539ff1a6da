#include "mien/training/label_dynamics.h"

#include "core/expect_error.h"
#include "core/temporary_folder.h"
#include "training/trainer_testing.h"
#include <ATen/ATen.h>

namespace mien::training {
namespace {

/// One step of training in which all faces are seen, with these logits.
void see_all(LabelDynamics& dynamics, const at::Tensor& logits) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < logits.size(0); ++row) rows.push_back(row);
  dynamics.see(rows, logits);
}

TEST(LabelDynamics, AveragesTheLabelsLogitMinusTheLargestOther) {
  LabelDynamics dynamics({0, 2});
  see_all(dynamics, at::tensor({5.0F, 1.0F, 2.0F, 4.0F, 3.0F, 0.0F}).view({2, 3}));
  see_all(dynamics, at::tensor({1.0F, 2.0F, 1.5F, 0.0F, 1.0F, 7.0F}).view({2, 3}));
  EXPECT_EQ(dynamics.face(0).epochs, 2);
  EXPECT_DOUBLE_EQ(dynamics.face(0).mean_margin, (3.0 - 1.0) / 2);
  EXPECT_DOUBLE_EQ(dynamics.face(1).mean_margin, (-4.0 + 6.0) / 2);
}

TEST(LabelDynamics, CountsStepsFromRightToWrongAndNeverRightAsAllEpochs) {
  LabelDynamics dynamics({0, 0, 1});
  const at::Tensor zero = at::tensor({2.0F, 0.0F});
  const at::Tensor one = at::tensor({0.0F, 2.0F});
  for (const auto& [first, second, third] :
       {std::tuple{zero, one, one}, {one, one, one}, {zero, one, one}, {one, one, one}})
    see_all(dynamics, at::stack({first, second, third}));
  EXPECT_EQ(dynamics.face(0).forgotten, 2);
  EXPECT_EQ(dynamics.face(1).forgotten, 4) << "never learned";
  EXPECT_EQ(dynamics.face(2).forgotten, 0);
}

TEST(LabelDynamics, OfAFaceThatIsNotTrainedIsNothing) {
  LabelDynamics dynamics({0, 0});
  dynamics.see(std::vector<int64_t>{1}, at::tensor({2.0F, 0.0F}).view({1, 2}));
  EXPECT_EQ(dynamics.face(0).epochs, 0);
  EXPECT_EQ(dynamics.face(0).mean_margin, 0);
  EXPECT_EQ(dynamics.face(1).epochs, 1);
}

TEST(LabelDynamics, AreReadAsTheyWereWrittenAndOnlyOfAsManyFaces) {
  const TemporaryFolder folder;
  LabelDynamics dynamics({0, 1});
  see_all(dynamics, at::tensor({2.0F, 0.0F, 3.0F, 0.5F}).view({2, 2}));
  dynamics.write(folder / "label_dynamics.safetensors");
  LabelDynamics found({0, 1});
  found.read(folder / "label_dynamics.safetensors");
  EXPECT_TRUE(at::equal(found.state(), dynamics.state()));
  LabelDynamics more({0, 1, 1});
  EXPECT_TRUE(contains(error_line(ErrorCode::bad_data, [&] { more.read(folder / "label_dynamics.safetensors"); }),
                       "has 10 numbers, expected 15 for 3 faces"));
}

TEST(LabelDynamics, OfAStoppedTrainingGoOnAsIfItHadNotStopped) {
  const TemporaryFolder folder;
  LabelDynamics whole(faces().labels);
  TrainingInput input = input_in(folder / "whole");
  input.label_dynamics = &whole;
  train(small_network(), input);

  Witness witness;
  LabelDynamics first(faces().labels);
  input = input_in(folder / "parts");
  input.label_dynamics = &first;
  witness.stop_after_epoch = 2;
  train(small_network(), input, witness);
  EXPECT_EQ(first.face(input.training_rows.front()).epochs, 2);
  LabelDynamics second(faces().labels);
  input.label_dynamics = &second;
  train(small_network(), input);
  EXPECT_TRUE(at::equal(second.state(), whole.state()));
  EXPECT_EQ(second.face(input.training_rows.front()).epochs, 4);
  EXPECT_EQ(second.face(input.validation_rows.front()).epochs, 0);
}

}  // namespace
}  // namespace mien::training
