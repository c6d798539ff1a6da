#include "mien/runtime/tensor_memory.h"

#include <cstdint>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "mien/network/network.h"
#include "mien/training/loss.h"
#include "mien/training/optimizer.h"

namespace mien::runtime {
namespace {

long page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

class TensorMemory : public testing::Test {
  void SetUp() override {
    reuse_tensor_memory();
    const at::Tensor probe = at::empty({1 << 20}, at::kFloat);
    if (tensor_memory_used() == 0) GTEST_SKIP() << "sanitizers watch malloc, so tensors stay there";
  }
};

TEST_F(TensorMemory, LargeTensorsLieInTheArenaUntilTheirLastUser) {
  const size_t before = tensor_memory_used();
  at::Tensor tensor = at::zeros({1 << 20}, at::kFloat);
  EXPECT_EQ(tensor_memory_used() - before, size_t{4} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64, 0U);
  const at::Tensor view = tensor.slice(0, 5, 10);
  tensor = at::Tensor();
  EXPECT_EQ(tensor_memory_used() - before, size_t{4} << 20);
  EXPECT_EQ(view.sum().item<float>(), 0);
}

TEST_F(TensorMemory, SmallAndEmptyTensorsDoNot) {
  const size_t before = tensor_memory_used();
  const at::Tensor small = at::zeros({1000}, at::kFloat);
  const at::Tensor none = at::empty({0}, at::kFloat);
  EXPECT_EQ(tensor_memory_used(), before);
}

TEST_F(TensorMemory, ATrainingStepCausesNoPageFaultsOnceTheFirstStepsAreOver) {
  network::Network network(network::load_graph("leaky4"), 0);
  for (at::Tensor parameter : network.trainable()) parameter.requires_grad_(true);
  training::Optimizer optimizer({}, network.trainable(), network.trainable_names());
  const at::Tensor images = at::zeros({64, 1, 48, 48}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor targets = at::full({64, 7}, 1.0 / 7);
  const auto step = [&] {
    training::cross_entropy(network.forward(images, network::Mode::training), targets).backward();
    optimizer.step(1e-3);
    optimizer.zero_grad();
  };
  for (int i = 0; i < 4; ++i) step();
  const size_t extent = tensor_memory_extent();
  const long before = page_faults();
  for (int i = 0; i < 3; ++i) step();
  // A step's tensors are some 250 MB: 61,000 pages of 4 KiB.
  EXPECT_LT(page_faults() - before, 3 * 200);
  EXPECT_EQ(tensor_memory_extent(), extent);
}

}  // namespace
}  // namespace mien::runtime
