import driver

driver.main()
