#include "mien/runtime/environment.h"

#include <gtest/gtest.h>

namespace mien::runtime {
namespace {

TEST(Environment, AFastBlasIsNotCalledSlowBecauseTheMachineIsBusy) {
  EXPECT_FALSE(is_slow_blas("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", 2.1, 2));
  EXPECT_FALSE(is_slow_blas("/opt/intel/mkl/lib/libmkl_rt.so", 0.1, 64));
}

TEST(Environment, ReferenceBlasIsSlowHoweverItMeasures) {
  EXPECT_TRUE(is_slow_blas("/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0", 40, 2));
}

TEST(Environment, AnUnknownBlasIsJudgedByItsRate) {
  EXPECT_TRUE(is_slow_blas("/opt/libsomething.so", 2, 1));
  EXPECT_FALSE(is_slow_blas("/opt/libsomething.so", 50, 2));
}

TEST(Environment, TheRemedyIsOneSentence) {
  Environment environment;
  environment.blas = "/usr/lib/blas/libblas.so.3";
  EXPECT_EQ(blas_warning(environment), "");
  environment.blas_is_slow = true;
  EXPECT_NE(blas_warning(environment).find("apt-get install libopenblas0-pthread"), std::string::npos);
}

TEST(Environment, ProductsOfThisMachinesBlasAgreeWithOnesComputedInDouble) {
  const double error = blas_error();
  EXPECT_GT(error, 0) << "floats round";
  EXPECT_LT(error, 1e-6);
}

}  // namespace
}  // namespace mien::runtime
